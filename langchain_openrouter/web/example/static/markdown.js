"use strict";
// Markdown -> DOM nodes. All text goes in as text nodes: a model cannot write HTML into the page.
// Addresses are http, https and mailto only; pictures become links, so that none is fetched.

const LINK = /^(?:https?:\/\/|mailto:)[^\s]+$/i;
const INLINE = new RegExp([
  "(?<code>(?<ticks>`{1,8})(?!`)(?<inside>.{1,1000}?)(?<!`)\\k<ticks>(?!`))",
  "(?<escape>\\\\[!-/:-@\\[-`{-~])",
  "(?<link>!?\\[(?<label>[^\\[\\]]{0,999})\\]\\((?<target>[^\\s()]{1,2048}(?:\\([^\\s()]{0,256}\\)[^\\s()]{0,256})?)(?:\\s\"[^\"]{0,256}\")?\\))",
  "(?<bare>\\bhttps?:\\/\\/[^\\s<>()\\[\\]`*]{1,2048}[^\\s<>()\\[\\]`*.,;:!?'\"])",
  "(?<strong>\\*\\*(?=\\S)(?<strongText>.{1,1000}?)(?<=\\S)\\*\\*)",
  "(?<em>\\*(?=[^\\s*])(?<emText>[^*]{1,1000}?)(?<=\\S)\\*|(?<!\\w)_(?=\\S)(?<emLine>[^_]{1,1000}?)(?<=\\S)_(?!\\w))",
  "(?<del>~~(?=\\S)(?<delText>.{1,1000}?)(?<=\\S)~~)",
].join("|"), "su");

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

function link(target, ...children) {
  const made = element("a", ...children);
  made.href = target;
  made.target = "_blank";
  made.rel = "noopener noreferrer nofollow";
  return made;
}

function inline(text, depth = 0) {
  const nodes = [];
  while (text) {
    const match = depth < 6 ? INLINE.exec(text) : null;
    if (!match) break;
    if (match.index) nodes.push(text.slice(0, match.index));
    text = text.slice(match.index + match[0].length);
    const { code, inside, escape, label, target, bare, strong, strongText, em, emText, emLine, del,
      delText } = match.groups;
    if (code) nodes.push(element("code", inside.replace(/^ (.*\S.*) $/s, "$1")));
    else if (escape) nodes.push(escape.slice(1));
    else if (target && LINK.test(target)) nodes.push(link(target, ...(inline(label || target, depth + 1))));
    else if (bare) nodes.push(link(bare, bare));
    else if (strong) nodes.push(element("strong", ...inline(strongText, depth + 1)));
    else if (em) nodes.push(element("em", ...inline(emText || emLine, depth + 1)));
    else if (del) nodes.push(element("del", ...inline(delText, depth + 1)));
    else nodes.push(match[0]); // an address of another kind stays as it was written
  }
  if (text) nodes.push(text);
  return nodes;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`\s]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(\s+|$)(.*)$/;
const QUOTE = /^ {0,3}> ?/;
const DIVIDER = /^ {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function table(lines) {
  const row = (kind, line) => element("tr", ...cells(line).map((cell) => element(kind, ...inline(cell))));
  const frame = element("div", element("table",
    element("thead", row("th", lines[0])),
    element("tbody", ...lines.slice(2).map((line) => row("td", line)))));
  frame.className = "table";
  return frame;
}

function fence(lines, start) {
  const [, mark, language] = FENCE.exec(lines[start]);
  let end = start + 1;
  const isEnd = (line) => line.trim().startsWith(mark) && !line.trim().replaceAll(mark[0], "");
  while (end < lines.length && !isEnd(lines[end])) end++;
  const code = element("code", lines.slice(start + 1, end).join("\n"));
  if (language) code.dataset.language = language;
  const block = element("pre", code);
  block.tabIndex = 0; // it scrolls, by keyboard too
  return [block, end + 1];
}

function list(lines, start, depth) {
  const [, indent, mark] = ITEM.exec(lines[start]);
  const isOrdered = /\d/.test(mark);
  const made = element(isOrdered ? "ol" : "ul");
  if (isOrdered && parseInt(mark, 10) !== 1) made.start = parseInt(mark, 10);
  let at = start;
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || item[1].length !== indent.length || /\d/.test(item[2]) !== isOrdered) break;
    const inner = [item[4]];
    for (at++; at < lines.length; at++) {
      const line = lines[at];
      const next = lines.slice(at).find((other) => other.trim()) ?? "";
      const isInside = next.startsWith(indent + "  ");
      if (!line.trim() ? !isInside : !isInside && (ITEM.test(line) || !lines[at - 1].trim())) break;
      inner.push(line.replace(new RegExp(`^ {0,${indent.length + item[2].length + 1}}`), ""));
    }
    while (at < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1] ?? "")) at++;
    const children = blocks(inner, depth + 1);
    const isPlain = children[0]?.tagName === "P";
    made.append(element("li", ...(isPlain ? [...children.shift().childNodes] : []), ...children));
  }
  return [made, at];
}

function blocks(lines, depth = 0) {
  const made = [];
  for (let at = 0; at < lines.length;) {
    const line = lines[at];
    const heading = HEADING.exec(line);
    let node = null;
    if (!line.trim()) at++;
    else if (FENCE.test(line)) [node, at] = fence(lines, at);
    else if (heading) {
      node = element(`h${Math.min(6, heading[1].length + 2)}`, ...inline(heading[2])); // h1, h2: the page's
      at++;
    } else if (RULE.test(line)) {
      node = element("hr");
      at++;
    } else if (QUOTE.test(line) && depth < 8) {
      const inner = [];
      while (at < lines.length && QUOTE.test(lines[at])) inner.push(lines[at++].replace(QUOTE, ""));
      node = element("blockquote", ...blocks(inner, depth + 1));
    } else if (ITEM.test(line) && depth < 8) [node, at] = list(lines, at, depth);
    else if (line.includes("|") && DIVIDER.test(lines[at + 1] ?? "") && lines[at + 1].includes("-")) {
      const start = at;
      at += 2;
      while (at < lines.length && lines[at].includes("|")) at++;
      node = table(lines.slice(start, at));
    } else {
      const text = [line];
      const starts = (other) => !other.trim() || FENCE.test(other) || HEADING.test(other)
        || RULE.test(other) || (depth < 8 && (QUOTE.test(other) || ITEM.test(other)));
      for (at++; at < lines.length && !starts(lines[at]); at++) text.push(lines[at]);
      node = element("p", ...inline(text.map((part) => part.trimStart()).join("\n")));
    }
    if (node) made.push(node);
  }
  return made;
}

// The nodes of a text.
function markdown(text) {
  return blocks(text.replaceAll("\r\n", "\n").replaceAll("\t", "    ").split("\n"));
}
