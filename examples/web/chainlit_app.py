"""A chat on Chainlit: each visitor on their own account.

    pip install "langchain-openrouter-oauth[web]" chainlit
    export OPENROUTER_WEB_SECRET="$(python -c "import secrets; print(secrets.token_urlsafe(32))")"
    uvicorn chainlit_app:app --app-dir examples/web

Then open http://localhost:8000/chat. Chainlit writes its settings into a folder `.chainlit`, and
loads `chainlit_page.py`, which imports the sign-in from here. In production pass `public_url=`
instead of `allowed_hosts=`, and a `store=` that all workers share, such as `RedisStore`.
"""

from __future__ import annotations

import os
from pathlib import Path

from chainlit.utils import mount_chainlit
from fastapi import FastAPI

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.web import SignIn

sign_in = SignIn(
    secret=os.environ["OPENROUTER_WEB_SECRET"],
    allowed_hosts=["localhost", "127.0.0.1"],
    home="/chat",
    key_label="Chainlit example",
)
model = ChatOpenRouter(model="openai/gpt-4o-mini")

app = FastAPI()
app.mount("/auth", sign_in.router)
mount_chainlit(app, target=str(Path(__file__).with_name("chainlit_page.py")), path="/chat")
