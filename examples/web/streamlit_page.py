"""The page of `streamlit_app.py`: Streamlit runs it at each interaction."""

from __future__ import annotations

import streamlit as st
from streamlit_app import model, sign_in

from langchain_openrouter.errors import OpenRouterError

st.set_page_config(page_title="Streamlit example")
st.title("Chat")
# Streamlit opens a session for pages of its own origin only, and keeps its first request's headers.
visitor = sign_in.visitor_of(st.context.headers.get("Cookie"))
if visitor is None:
    st.link_button("Sign in with OpenRouter", "/auth/sign-in?next=/")
    st.stop()
st.caption(f"Signed in as {visitor.user_id}")

own = model.for_user(visitor.key, user=visitor.user_id)
messages = st.session_state.setdefault("messages", [])
for role, text in messages:
    st.chat_message(role).markdown(text)

if question := st.chat_input("Your message"):
    messages.append(("user", question))
    st.chat_message("user").markdown(question)
    try:
        chunks = (chunk.text for chunk in own.stream(messages))
        messages.append(("assistant", st.chat_message("assistant").write_stream(chunks)))
    except OpenRouterError as error:
        messages.pop()
        st.error(str(error))
