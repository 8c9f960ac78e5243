"""A chat on Streamlit: each visitor on their own account.

    pip install "langchain-openrouter-oauth[web]" "streamlit>=1.53"
    export OPENROUTER_WEB_SECRET="$(python -c "import secrets; print(secrets.token_urlsafe(32))")"
    uvicorn streamlit_app:app --app-dir examples/web

Then open http://localhost:8000. Streamlit runs `streamlit_page.py`, which imports the sign-in from
here. In production pass `public_url=` instead of `allowed_hosts=`, and a `store=` that all workers
share, such as `RedisStore`.
"""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st
from starlette.routing import Mount

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.web import SignIn

sign_in = SignIn(
    secret=os.environ["OPENROUTER_WEB_SECRET"],
    allowed_hosts=["localhost", "127.0.0.1"],
    key_label="Streamlit example",
)
model = ChatOpenRouter(model="openai/gpt-4o-mini")

page = Path(__file__).with_name("streamlit_page.py")
app = st.App(page, routes=[Mount("/auth", sign_in.router)])
