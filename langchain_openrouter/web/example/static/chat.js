"use strict";
const $ = (id) => document.getElementById(id);
let turns = []; // {question, thought, answer, note, problem}
let spent = 0;
let model = "openai/gpt-4o-mini";
let left = "no limit";
let going = null;
let storage = null; // the name under which this visitor's conversation is kept, in this tab only
let isAtEnd = true;

const dollars = (amount) => "$" + amount.toFixed(amount < 1 ? 6 : 2);

async function account() {
  const me = await (await fetch("/auth/me")).json();
  $("stranger").hidden = me.signed_in;
  $("account").hidden = $("ask").hidden = !me.signed_in;
  if (!me.signed_in) return;
  $("csrf").value = me.csrf_token;
  if (!storage) restore(`conversation of ${me.user_id}`);
  left = me.remaining === null || me.remaining === undefined
    ? "no limit" : dollars(me.remaining) + " left";
  money();
}

function money() {
  $("money").textContent = dollars(spent) + " here · " + left;
}

async function models() {
  if (!storage) return;
  const answer = await fetch("/api/models");
  if (!answer.ok) return;
  for (const { id, name } of await answer.json()) {
    $("model").add(new Option(name, id, id === model, id === model));
  }
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(storage)) || {};
  } catch {
    return {};
  }
}

function keep() {
  if (!storage) return;
  try {
    sessionStorage.setItem(storage, JSON.stringify({ turns, spent, model }));
  } catch { /* it is full, or forbidden: a reload forgets */ }
}

function restore(name) {
  storage = name;
  const kept = read();
  ({ turns = [], spent = 0 } = kept);
  model = kept.model || model;
  for (const turn of turns) show(turn);
  $("empty").hidden = turns.length > 0;
  toEnd();
}

function toEnd() {
  $("scroll").scrollTop = $("scroll").scrollHeight;
}

// Show a turn; return what shows its answer anew after it has changed.
function show(turn) {
  const question = document.createElement("li");
  question.className = "user";
  question.append(turn.question);
  const item = document.createElement("li");
  item.className = "assistant";
  const thought = document.createElement("details");
  thought.className = "thought";
  const summary = document.createElement("summary");
  summary.append("Reasoning");
  const thoughts = document.createElement("p");
  thought.append(summary, thoughts);
  const answer = document.createElement("div");
  answer.className = "answer";
  const note = document.createElement("p");
  note.className = "told";
  $("talk").append(question, item);
  item.append(thought, answer);

  const render = () => {
    thought.hidden = !turn.thought;
    thoughts.textContent = turn.thought;
    answer.replaceChildren(...markdown(turn.answer));
    item.classList.toggle("error", Boolean(turn.problem));
    item.setAttribute("aria-busy", String(going?.turn === turn));
    note.replaceChildren(...[turn.problem, turn.note].filter(Boolean).join(" · "));
    if (turn.link) note.append(" ", link(turn.link, "Raise the limit"));
    if (turn.problem || turn.note) item.append(note);
    if (isAtEnd) toEnd();
  };
  render();
  return { render, thought };
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", step; !(step = await reader.read()).done; ) {
    const parts = (rest + step.value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const [, name, data] = part.match(/^event: (.*)\ndata: (.*)$/);
      yield [name, JSON.parse(data)];
    }
  }
}

function hear(turn, thought, name, data) {
  if (name === "reasoning") {
    if (!turn.thought) thought.open = true;
    turn.thought += data;
  }
  if (name === "text") {
    if (!turn.answer) thought.open = false;
    turn.answer += data;
  }
  if (name === "error") {
    turn.problem = data.message;
    if (LINK.test(data.settings_url || "")) turn.link = data.settings_url;
  }
  if (name === "done") {
    spent += data.cost || 0;
    money();
    turn.note = [data.provider, data.model_name, dollars(data.cost || 0)].filter(Boolean).join(" · ");
    if (data.finish_reason === "length") turn.note += " · cut at the token limit";
  }
}

async function ask(question) {
  const messages = turns.filter((turn) => turn.answer).flatMap((turn) => [
    { role: "user", content: turn.question }, { role: "assistant", content: turn.answer },
  ]).slice(-198); // the site takes 200; unanswered questions are left out
  messages.push({ role: "user", content: question });
  const turn = { question, thought: "", answer: "", note: "", problem: "" };
  turns.push(turn);
  going = new AbortController();
  going.turn = turn;
  isAtEnd = true;
  const { render, thought } = show(turn);
  let drawing = 0;
  $("empty").hidden = true;
  $("stop").hidden = false;
  $("send").hidden = true;
  $("new").disabled = true;
  try {
    const response = await fetch("/api/chat", {
      method: "POST", signal: going.signal,
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ messages, model }),
    });
    if (response.status === 401) return location.reload();
    if (!response.ok) throw new Error((await response.text()) || response.statusText);
    for await (const [name, data] of events(response)) {
      hear(turn, thought, name, data);
      drawing ||= setTimeout(() => { drawing = 0; render(); }, 50);
    }
    if (!turn.note && !turn.problem) turn.problem = "The connection ended before the answer did";
  } catch (problem) {
    if (problem.name === "AbortError") turn.note = "stopped";
    else turn.problem = problem.message;
  } finally {
    clearTimeout(drawing);
    going = null;
    render();
    keep();
    $("stop").hidden = true;
    $("send").hidden = false;
    $("new").disabled = false;
    $("question").focus();
    account();
    setTimeout(account, 4000); // the site looks the amounts up at most once in three seconds
  }
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question || going) return;
  $("question").value = "";
  ask(question);
});
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});
$("stop").addEventListener("click", () => going && going.abort());
$("new").addEventListener("click", () => {
  turns = [];
  $("talk").replaceChildren();
  $("empty").hidden = false;
  keep();
  $("question").focus();
});
$("model").addEventListener("change", () => {
  model = $("model").value;
  keep();
});
$("sign-out").addEventListener("submit", () => {
  sessionStorage.removeItem(storage);
  storage = null;
});
// Whoever scrolls up to read stays there; else the newest line is in view, whatever changes its size.
$("scroll").addEventListener("scroll", () => {
  const { scrollTop, clientHeight, scrollHeight } = $("scroll");
  isAtEnd = scrollTop + clientHeight > scrollHeight - 40;
});
new ResizeObserver(() => isAtEnd && toEnd()).observe($("scroll"));
addEventListener("pagehide", () => {
  if (going) going.turn.note = "interrupted";
  keep();
});
addEventListener("pageshow", (event) => event.persisted && location.reload());
account().then(models);
