"""The pure parts of the chat: commands, options, schemas, Markdown."""

from __future__ import annotations

import io
import json
import re

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from rich.console import Console

from langchain_openrouter._cli_chat._attachments import detect_type, split_type
from langchain_openrouter._cli_chat._conversation import Conversation, to_markdown
from langchain_openrouter._cli_chat._inline import InlineStyles
from langchain_openrouter._cli_chat._markdown import MarkdownStream
from langchain_openrouter._cli_chat._options import extract_code, fill_template, parse_options
from langchain_openrouter._cli_chat._slash import Command, parse_line
from langchain_openrouter._cli_schema import parse_schema, to_list_schema


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/model a/b", Command("model", "a/b")),
        ("/retry", Command("retry", "")),
        ("/quit", Command("exit", "")),
        ("exit", Command("exit", "")),
        ("!multi", Command("multi", "")),
        ("/etc/passwd says what?", "/etc/passwd says what?"),
        ("!important", "!important"),
        ("what does /model do?", "what does /model do?"),
    ],
)
def test_a_line_is_a_command_or_a_question(line, expected):
    """A path is a question, and so is a `!` that is no command."""
    assert parse_line(line) == expected


def test_an_unknown_command_is_an_error():
    """It is not sent to the model."""
    with pytest.raises(ValueError, match="no command /modle"):
        parse_line("/modle a/b")


def test_options_are_json_or_text():
    """And a key is no option."""
    pairs = ["temperature=0.2", "stop=END", 'provider={"zdr": true}', "user=a=b"]
    assert parse_options(pairs) == {
        "temperature": 0.2,
        "stop": "END",
        "provider": {"zdr": True},
        "user": "a=b",
    }
    with pytest.raises(ValueError, match="NAME=VALUE"):
        parse_options(["temperature"])
    with pytest.raises(ValueError, match="can be read by others"):
        parse_options(["api_key=x"])


def test_a_template():
    """Its names are filled; a name without a value is an error that names it."""
    assert fill_template("To $who: $input", {"who": "Ann"}, "hi") == "To Ann: hi"
    assert fill_template("Sum up", {}, "text") == "Sum up\n\ntext"
    with pytest.raises(ValueError, match="-p who="):
        fill_template("$who", {}, "")
    with pytest.raises(ValueError, match=r"\$\$"):
        fill_template("5$ each", {}, "")


def test_a_block_of_code():
    """The first, the last, or the text if there is none."""
    text = "a\n```py\nx = 1\n```\nb\n~~~\ny\n~~~\n"
    assert extract_code(text) == "x = 1\n"
    assert extract_code(text, last=True) == "y\n"
    assert extract_code("none") == "none"


def test_schemas(tmp_path):
    """Concise, JSON, or a file; each is a valid JSON schema."""
    concise = parse_schema("name, age int, bio: one sentence")
    assert concise["properties"] == {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "bio": {"type": "string", "description": "one sentence"},
    }
    assert concise["required"] == ["name", "age", "bio"]
    lines = parse_schema("name: first, last\nold bool\n")
    assert lines["properties"]["name"]["description"] == "first, last"
    inline = parse_schema('{"type": "object", "title": "Dog", "properties": {}}')
    assert inline["title"] == "Dog"
    (tmp_path / "dog.json").write_text(json.dumps(concise))
    assert parse_schema(str(tmp_path / "dog.json")) == concise
    for schema in (concise, lines, inline, to_list_schema(concise)):
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "text", ["", "name, name", "age integer", ": x", "a int b", "{", "[1]", "none.txt", "a/b"]
)
def test_what_is_no_schema(text):
    """Is an error."""
    with pytest.raises(ValueError, match=r"."):
        parse_schema(text)


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "no-ending", "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(20), "wrong.png", "image/jpeg"),
        (b"%PDF-1.7\n", "paper", "application/pdf"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(20), "a.wav", "audio/wave"),
        (b"ID3\x03\x00" + bytes(30), "a", "audio/mpeg"),
        (b"def f(): pass\n", "a.py", "text/x-python"),
        (b"BM looks like a bitmap, is a note", "note", "text/plain"),
        (bytes([0, 1, 2, 255]), "x", None),
    ],
)
def test_the_type_is_what_the_content_says(data, name, expected):
    """Before what the name says."""
    assert detect_type(data, name) == expected
    assert split_type("a=b.png=image/png") == ("a=b.png", "image/png")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("**bold**", [("bold", "bold")]),
        ("snake_case_name", [("snake_case_name", "")]),
        ("2", [("2", "")]),
        ("*", [("*", "")]),
        ("`a*b*`", [("a*b*", "cyan")]),
        ("_it_,", [("it", "italic"), (",", "")]),
        (r"\*x\*", [("*", ""), ("x", ""), ("*", "")]),
    ],
)
def test_marks_in_a_word(word, expected):
    """A mark needs something to mark."""
    assert InlineStyles().split(word) == expected


MARKDOWN = """# A *title*

Some **bold words** here, `code with spaces`, and a word that does not fit into the line anymore.
1. one
   - nested

```python
def f():
    return "a"  # note
```
| a | b |
|---|---|
| 1 | `two` |
> quoted
---
日本語のテキストがここにあります。
"""


def rendered(pieces, width=40):
    """Return what a terminal gets for Markdown in pieces."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system="standard", legacy_windows=False)  # fmt: skip
    stream = MarkdownStream(console)
    for piece in pieces:
        stream.feed(piece)
    stream.finish()
    return file.getvalue()


@settings(deadline=None)  # a busy machine
@given(st.lists(st.integers(1, 9), min_size=1))
def test_markdown_in_any_pieces_looks_the_same(sizes):
    """Whatever the pieces are."""
    pieces, rest = [], MARKDOWN
    for size in sizes * 400:
        if not rest:
            break
        pieces.append(rest[:size])
        rest = rest[size:]
    assert rendered([*pieces, rest]) == rendered([MARKDOWN])


@pytest.mark.timeout(60)  # minutes where each piece is read again with all before it
@pytest.mark.parametrize(
    ("begin", "pieces"),
    [("", 60_000), ("Some ", 60_000), ("    ", 60_000), ("* ", 60_000), ("```\n", 600_000)],
)
def test_a_line_without_an_end(begin, pieces):
    """Each piece of it is read once, in text, in a list and in code."""
    plain = re.sub(r"\x1b\[[\d;]*m|\s", "", rendered([begin, *["xy"] * pieces]))

    assert plain.count("xy") == pieces


@settings(deadline=None)  # a busy machine
@given(st.text("ab *_`~#|>-\n1.\\", max_size=60))
def test_any_text_is_printed(text):
    """Nothing raises, and no letter is lost."""
    plain = rendered([text], width=20)
    for letter in "ab":
        stripped = re.sub(r"\x1b\[[\d;]*m", "", plain)
        missing = text.count(letter) - stripped.count(letter)
        assert missing == 0 or "```" in text or "~~~" in text or "|" in text


def test_a_conversation_is_a_document_and_a_file():
    """Read back as it was; what looks like a key is masked."""
    question = HumanMessage([{"type": "text", "text": "my key is sk-or-v1-0123456789"}, {"type": "image", "base64": "aa"}])  # fmt: skip
    first = Conversation("a/b", "Brief", [question, AIMessage("Hi", additional_kwargs={"x": [1]})], 0.5)  # fmt: skip
    data = first.to_json()
    again = Conversation.from_json(data)

    assert b"sk-or" not in data
    assert again.messages[1] == first.messages[1]
    assert (again.model, again.system, again.cost, again.id) == ("a/b", "Brief", 0.5, first.id)
    assert "*[image]*" in to_markdown(again)
    with pytest.raises(ValueError, match="no saved conversation"):
        Conversation.from_json(b"{}")
