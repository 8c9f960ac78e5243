"""LangChain's standard unit tests for chat models."""

from __future__ import annotations

from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_openrouter import ChatOpenRouter


class TestChatOpenRouter(ChatModelUnitTests):
    """The contract every LangChain chat model keeps."""

    @property
    def chat_model_class(self):
        """The class under test."""
        return ChatOpenRouter

    @property
    def chat_model_params(self):
        """Its arguments."""
        return {"model": "openai/gpt-4o-mini", "api_key": "k"}

    @property
    def init_from_env_params(self):
        """What the environment fills."""
        return (
            {"OPENROUTER_API_KEY": "k", "OPENROUTER_API_BASE": "https://base.com"},
            {"model": "openai/gpt-4o-mini"},
            {"openai_api_key": "k", "openai_api_base": "https://base.com"},
        )


class TestResponses(TestChatOpenRouter):
    """The same with the other endpoint."""

    @property
    def chat_model_params(self):
        """Its arguments."""
        return {**super().chat_model_params, "use_responses_api": True}

    @property
    def init_from_env_params(self):
        """What the environment fills."""
        environment, arguments, expected = super().init_from_env_params
        return environment, {**arguments, "use_responses_api": True}, expected
