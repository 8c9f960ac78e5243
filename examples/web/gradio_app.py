"""A chat on Gradio: each visitor on their own account.

    pip install "langchain-openrouter-oauth[web]" gradio
    export OPENROUTER_WEB_SECRET="$(python -c "import secrets; print(secrets.token_urlsafe(32))")"
    uvicorn gradio_app:app --app-dir examples/web

Then open http://localhost:8000. In production pass `public_url=` instead of `allowed_hosts=`, and a
`store=` that all workers share, such as `RedisStore`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import gradio as gr
from fastapi import FastAPI

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.errors import OpenRouterError
from langchain_openrouter.web import SignIn

sign_in = SignIn(
    secret=os.environ["OPENROUTER_WEB_SECRET"],
    allowed_hosts=["localhost", "127.0.0.1"],
    key_label="Gradio example",
)
model = ChatOpenRouter(model="openai/gpt-4o-mini")
LINK = "[Sign in with OpenRouter](/auth/sign-in?next=/)"


async def answer(message: str, history: list[dict], request: gr.Request) -> AsyncIterator[str]:
    """Stream an answer of the visitor's own model, the text so far at each step."""
    headers = request.headers
    visitor = await sign_in.avisitor_of(headers.get("cookie"), origin=headers.get("origin"))
    if visitor is None:
        yield LINK
        return

    own = model.for_user(visitor.key, user=visitor.user_id)
    earlier = [(turn["role"], turn["content"][0]["text"]) for turn in history]
    text = ""
    try:
        async for chunk in own.astream([*earlier, ("user", message)]):
            text += chunk.text
            yield text
    except OpenRouterError as error:
        yield f"{text}\n\n{error}"


async def greet(request: gr.Request) -> str:
    """Say who is signed in."""
    visitor = await sign_in.avisitor_of(request.headers.get("cookie"))
    return f"Signed in as {visitor.user_id}" if visitor else LINK


with gr.Blocks(title="Gradio example", fill_height=True) as blocks:
    who = gr.Markdown()
    gr.ChatInterface(answer, api_name=False)
    blocks.load(greet, outputs=who)

app = FastAPI()
app.mount("/auth", sign_in.router)
app = gr.mount_gradio_app(app, blocks, path="/")
