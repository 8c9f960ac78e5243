"""An agent on FastAPI, by server-sent events and by WebSocket: each visitor on their own account.

    pip install "langchain-openrouter-oauth[agents,web]" fastapi websockets
    export OPENROUTER_WEB_SECRET="$(python -c "import secrets; print(secrets.token_urlsafe(32))")"
    uvicorn fastapi_app:app --app-dir examples/web

Then open http://localhost:8000. In production pass `public_url=` instead of `allowed_hosts=`, and a
`store=` that all workers share, such as `RedisStore`.
"""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, StreamingResponse
from langchain.agents import create_agent
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.middleware import PerUserModel
from langchain_openrouter.web import SignIn, Visitor, sse_response

sign_in = SignIn(
    secret=os.environ["OPENROUTER_WEB_SECRET"],
    allowed_hosts=["localhost", "127.0.0.1"],
    key_label="FastAPI example",
)
model = ChatOpenRouter(model="openai/gpt-4o-mini")


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


# The visitor is the run's context: it is neither checkpointed nor traced.
per_visitor = PerUserModel(lambda visitor: visitor.key, user_id="user_id")
agent = create_agent(model, [get_weather], middleware=[per_visitor], context_schema=Visitor)

app = FastAPI()
app.mount("/auth", sign_in.router)
SignedIn = Annotated[Visitor | None, Depends(sign_in.visitor)]
user_model = sign_in.user_model(model)


class Question(BaseModel):
    """What a visitor asks. JSON: a form of another site cannot send it."""

    text: str


@app.post("/ask")
async def ask(question: Question, visitor: SignedIn) -> StreamingResponse:
    """Run the agent; tell each step, tool call, result and piece of text."""
    if visitor is None:
        raise HTTPException(401, "sign in first")
    messages = [{"role": "user", "content": question.text}]
    return sse_response(agent, {"messages": messages}, context=visitor)


@app.websocket("/chat")
async def chat(websocket: WebSocket) -> None:
    """Answer each message by the visitor's own model; a page of another site is refused."""
    await user_model(websocket)  # or 403
    await websocket.accept()
    try:
        while True:
            question = await websocket.receive_text()
            own = await user_model(websocket)  # or closed, after a sign-out
            async for chunk in own.astream(question):
                await websocket.send_text(chunk.text)
    except WebSocketDisconnect:
        pass


@app.get("/")
async def page(visitor: SignedIn) -> HTMLResponse:
    """Return the page, or a link to sign in."""
    return HTMLResponse(PAGE if visitor else SIGN_IN)


HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>FastAPI example</title>
<meta name="viewport" content="width=device-width"><style>:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
input, button { font: inherit; padding: .4rem .6rem } input { width: 60% }
pre { white-space: pre-wrap }</style>"""
SIGN_IN = f'{HEAD}<a href="/auth/sign-in?next=/">Sign in with OpenRouter</a>'
PAGE = (
    HEAD
    + """<form id="ask"><input id="text" aria-label="Question" required> <button>Ask</button></form>
<pre id="answer" aria-live="polite"></pre><script type="module">
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", step; !(step = await reader.read()).done; ) {
    const blocks = (rest + step.value).split("\\n\\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const [, name, data] = block.match(/^event: (.*)\\ndata: (.*)$/);
      yield [name, JSON.parse(data)];
    }
  }
}
document.querySelector("#ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = document.querySelector("#answer");
  const response = await fetch("/ask", {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text: document.querySelector("#text").value }),
  });
  if (response.status === 401) return location.reload();
  answer.textContent = "";
  for await (const [name, data] of events(response)) {
    if (name === "text") answer.append(data);
    if (name === "tool_call") answer.append(`${data.name}(${JSON.stringify(data.args)})\\n`);
    if (name === "tool_result") answer.append(`${data.content}\\n`);
    if (name === "done") answer.append(`\\n$${data.cost}`);
    if (name === "error") answer.append(`\\n${data.message}`);
  }
});
</script>"""
)
