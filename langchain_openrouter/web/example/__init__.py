"""The example: a chat page where each visitor brings their own OpenRouter account."""
