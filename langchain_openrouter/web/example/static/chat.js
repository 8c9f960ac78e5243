"use strict";
const $ = (id) => document.getElementById(id);
const messages = [];
let spent = 0;
let going = null;

const dollars = (amount) => "$" + amount.toFixed(amount < 1 ? 6 : 2);

async function account() {
  const me = await (await fetch("/auth/me")).json();
  $("stranger").hidden = me.signed_in;
  $("account").hidden = $("ask").hidden = !me.signed_in;
  if (!me.signed_in) return;
  $("csrf").value = me.csrf_token;
  const left = me.remaining === null || me.remaining === undefined
    ? "no limit" : dollars(me.remaining) + " left";
  $("money").textContent = dollars(spent) + " here · " + left;
}

async function models() {
  const answer = await fetch("/api/models");
  if (!answer.ok) return;
  for (const { id, name } of await answer.json()) {
    $("model").add(new Option(name, id, id === "openai/gpt-4o-mini"));
  }
}

function say(role, text) {
  const item = document.createElement("li");
  item.className = role;
  item.append(text);
  $("talk").append(item);
  item.scrollIntoView({ block: "end" });
  return item;
}

function told(item, text) {
  const line = document.createElement("span");
  line.className = "told";
  line.append(text);
  item.append(line);
}

async function* events(answer) {
  const reader = answer.body.getReader(); // not every browser iterates over a body
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const [, name, data] = block.match(/^event: (.*)\ndata: (.*)$/s);
      yield [name, JSON.parse(data)];
    }
  }
}

async function ask(question) {
  messages.push({ role: "user", content: question });
  say("user", question);
  const item = say("assistant", "");
  const thought = document.createElement("span");
  thought.className = "thought";
  const text = document.createElement("span");
  item.append(thought, text);
  going = new AbortController();
  $("stop").hidden = false;
  $("send").hidden = true;
  try {
    const answer = await fetch("/api/chat", {
      method: "POST", signal: going.signal,
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ messages, model: $("model").value }),
    });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error((await answer.text()) || answer.statusText);
    for await (const [name, data] of events(answer)) {
      if (name === "reasoning") thought.append(data);
      if (name === "text") text.append(data);
      if (name === "error") { item.classList.add("error"); told(item, data); }
      if (name === "done") {
        spent += data.cost || 0;
        told(item, [data.provider, data.model_name, dollars(data.cost || 0)].join(" · "));
      }
      item.scrollIntoView({ block: "end" });
    }
  } catch (problem) {
    if (problem.name !== "AbortError") { item.classList.add("error"); told(item, problem.message); }
  } finally {
    if (text.textContent) messages.push({ role: "assistant", content: text.textContent });
    else messages.pop(); // unanswered: the next question stands alone
    going = null;
    $("stop").hidden = true;
    $("send").hidden = false;
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
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});
$("stop").addEventListener("click", () => going && going.abort());
addEventListener("pageshow", (event) => event.persisted && location.reload());
account().then(models);
