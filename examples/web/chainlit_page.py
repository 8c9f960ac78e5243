"""The page of `chainlit_app.py`: what Chainlit does with each message."""

from __future__ import annotations

import chainlit as cl
from chainlit_app import model, sign_in

from langchain_openrouter.errors import OpenRouterError
from langchain_openrouter.web import Visitor

LINK = "[Sign in with OpenRouter](/auth/sign-in?next=/chat)"


async def current_visitor() -> Visitor | None:
    """Return the visitor whose browser opened this session's Socket.IO connection.

    Chainlit accepts such connections from pages of any origin, so that it must be compared.
    """
    environ = cl.context.session.environ
    return await sign_in.avisitor_of(environ.get("HTTP_COOKIE"), origin=environ.get("HTTP_ORIGIN"))


@cl.on_chat_start
async def start() -> None:
    """Say who is signed in."""
    visitor = await current_visitor()
    text = f"Signed in as {visitor.user_id}" if visitor else LINK
    await cl.Message(text).send()


@cl.on_message
async def answer(message: cl.Message) -> None:
    """Stream an answer of the visitor's own model."""
    visitor = await current_visitor()
    if visitor is None:
        await cl.Message(LINK).send()
        return

    own = model.for_user(visitor.key, user=visitor.user_id)
    messages = [*cl.user_session.get("messages", []), ("user", message.content)]
    reply = cl.Message("")
    try:
        async for chunk in own.astream(messages):
            await reply.stream_token(chunk.text)
    except OpenRouterError as error:
        await reply.stream_token(f"\n\n{error}")
    else:
        cl.user_session.set("messages", [*messages, ("assistant", reply.content)])
    await reply.send()
