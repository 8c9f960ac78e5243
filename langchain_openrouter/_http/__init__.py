"""The HTTP layer: connections, API keys, server-sent events, and the mapping of errors."""
