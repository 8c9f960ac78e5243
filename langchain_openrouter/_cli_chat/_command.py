"""What `chat` does: one answer, one value that fits a schema, or a conversation at the terminal."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, HumanMessage

from langchain_openrouter._cli_chat._answer import Screen, media_blocks, receive, save
from langchain_openrouter._cli_chat._attachments import read_attachment, split_type
from langchain_openrouter._cli_chat._conversation import (
    Conversation,
    Conversations,
    chat_folder,
)
from langchain_openrouter._cli_chat._options import (
    extract_code,
    fill_template,
    parse_options,
    split_pairs,
)
from langchain_openrouter._cli_console import PRINTED, err
from langchain_openrouter._cli_models import complete_slug, matching_models
from langchain_openrouter._cli_schema import parse_schema, to_list_schema
from langchain_openrouter._redaction import printable
from langchain_openrouter.chat_models import ChatOpenRouter
from langchain_openrouter.errors import KeyStoreError

if TYPE_CHECKING:
    from langchain_openrouter.oauth import UserKey

__all__ = ["ChatOptions", "run"]

_DEFAULT_MODEL = "openai/gpt-4o-mini"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """The options of the command, as typed."""

    prompt: str
    model: str | None
    query: list[str]
    system: str | None
    option: list[str]
    attachment: list[str]
    attachment_type: list[str]
    template: str | None
    param: list[str]
    schema: str | None
    schema_multi: str | None
    reasoning: str | None
    conversation: str | None
    continues: bool
    stream: bool
    saves: bool
    markdown: bool
    shows_reasoning: bool
    shows_usage: bool
    extract: str | None
    as_json: bool


def run(options: ChatOptions, key: UserKey) -> None:
    """Do what the options say.

    Raises:
        ValueError: They do not fit together, or a value is none.
        KeyboardInterrupt: Ctrl-C, after what came was printed and saved.
    """
    saved = _open_conversations(options)
    conversation = _conversation(options, saved)
    fields = parse_options(options.option)
    if options.reasoning:
        fields["reasoning"] = {"effort": options.reasoning}

    def build_model(slug: str) -> ChatOpenRouter:
        return ChatOpenRouter(**{"model": slug, "base_url": key.base_url, **fields}).for_user(key)

    blocks = _attachments(options)
    question = _question(options)
    if question or (blocks and not sys.stdin.isatty()):
        content: Any = [{"type": "text", "text": question}, *blocks] if blocks else question
        conversation.messages.append(HumanMessage(content))
        _answer(options, conversation, build_model(conversation.model), saved)
        return

    if not sys.stdin.isatty() or options.schema or options.schema_multi or options.as_json:
        msg = "nothing was asked"
        raise ValueError(msg)
    _talk(options, conversation, build_model, saved, blocks)


def _open_conversations(options: ChatOptions) -> Conversations | None:
    """Return where conversations are saved; None where they are not, or cannot be."""
    if not options.saves and not options.continues:
        return None

    try:
        return Conversations()
    except KeyStoreError as error:
        if options.continues:
            raise
        err().print(f"not saved: {error}", style="dim")
        return None


def _conversation(options: ChatOptions, saved: Conversations | None) -> Conversation:
    """Return a new conversation, or a saved one, with the model and the system prompt chosen."""
    slug = options.model
    if options.query:
        from langchain_openrouter.catalog import Catalog  # noqa: PLC0415 - slow to import

        matches = matching_models(Catalog().models(), " ".join(options.query))
        if not matches:
            msg = "no model matches"
            raise ValueError(msg)
        slug = matches[0].id

    if options.continues and saved is not None:
        conversation = saved.load(options.conversation)
        conversation.model = slug or conversation.model
        conversation.system = options.system or conversation.system
        return conversation
    return Conversation(slug or _DEFAULT_MODEL, options.system)


def _attachments(options: ChatOptions) -> list[dict[str, Any]]:
    pairs = [(source, None) for source in options.attachment]
    return [
        read_attachment(source, mime_type)
        for source, mime_type in [*pairs, *map(split_type, options.attachment_type)]
    ]


def _question(options: ChatOptions) -> str:
    """Return the question: the arguments, what is piped, both in the template."""
    reads_stdin = "-" in options.attachment or any(
        text.startswith("-=") for text in options.attachment_type
    )
    piped = "" if reads_stdin or sys.stdin.isatty() else _read_stdin()
    question = "\n\n".join(filter(None, [options.prompt, piped.strip()]))

    if options.template is None:
        return question
    text = Path(options.template).expanduser().read_text(encoding="utf-8").strip()
    return fill_template(text, split_pairs(options.param), question)


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        msg = "the standard input is no text: attach it with -a -"
        raise ValueError(msg) from None


def _messages(conversation: Conversation) -> list[Any]:
    system = [("system", conversation.system)] if conversation.system else []
    return [*system, *conversation.messages]


def _answer(
    options: ChatOptions,
    conversation: Conversation,
    model: ChatOpenRouter,
    saved: Conversations | None,
) -> None:
    """Print one answer, and save it with its question."""
    is_quiet = options.as_json or options.extract or options.schema or options.schema_multi
    screen = Screen(markdown=options.markdown, reasoning=options.shows_reasoning)
    message: AIMessage | None
    is_stopped, value = False, None

    if options.schema or options.schema_multi:
        message, value = _structured(options, conversation, model)
    else:
        visible = None if is_quiet else screen
        answer = receive(model, _messages(conversation), visible, stream=options.stream)
        message, is_stopped = answer.message, answer.is_stopped
    if message is not None:
        conversation.messages.append(message)
        conversation.cost += message.response_metadata.get("cost") or 0.0
        save(saved if options.saves else None, conversation)
    if is_stopped or message is None:
        raise KeyboardInterrupt

    _print_result(options, message, value)
    if not options.as_json:
        screen.show_facts(message)
        if options.shows_usage and message.usage_metadata:
            tokens = message.usage_metadata
            line = f"{tokens['input_tokens']:,} tokens in, {tokens['output_tokens']:,} out"
            err().print(line, style="dim")


def _structured(
    options: ChatOptions, conversation: Conversation, model: ChatOpenRouter
) -> tuple[AIMessage, Any]:
    """Return the answer, and the value that fits the schema.

    Raises:
        ValueError: The answer does not fit.
    """
    schema = parse_schema(options.schema_multi or options.schema or "")
    if options.schema_multi:
        schema = to_list_schema(schema)
    structured = model.with_structured_output(schema, include_raw=True)
    result: Any = structured.invoke(_messages(conversation))

    if result["parsing_error"] is not None:
        msg = f"the answer does not fit the schema: {result['parsing_error']}"
        raise ValueError(msg)
    message: AIMessage = result["raw"]
    if message.tool_calls:  # by a tool: saved as text, so that the conversation can go on
        text = json.dumps(result["parsed"], ensure_ascii=False)
        message = AIMessage(text, response_metadata=message.response_metadata)
    return message, result["parsed"]


def _print_result(options: ChatOptions, message: AIMessage, value: Any) -> None:
    """Print what the screen has not shown: JSON, a value, a block of code."""
    if options.as_json:
        fields = {
            "text": message.text,
            "usage": message.usage_metadata,
            **message.response_metadata,
        }
        if media := media_blocks(message):
            fields["media"] = media
        if value is not None:
            fields["parsed"] = value
        print(json.dumps(fields, default=str))  # noqa: T201 - for a script
    elif value is not None:
        print(json.dumps(value, indent=2))  # noqa: T201 - for a script
    elif options.extract:
        code = extract_code(message.text, last=options.extract == "last")
        print(printable(code.rstrip("\n"), keep=PRINTED))  # noqa: T201 - for a script


def _talk(
    options: ChatOptions,
    conversation: Conversation,
    build_model: Any,
    saved: Conversations | None,
    blocks: list[dict[str, Any]],
) -> None:
    """Hold a conversation at the terminal."""
    from langchain_openrouter._cli_chat._line_editor import make_reader  # noqa: PLC0415 - slow
    from langchain_openrouter._cli_chat._talk import Talk  # noqa: PLC0415 - slow

    saves = options.saves and saved is not None
    talk = Talk(
        conversation,
        build_model=build_model,
        read=make_reader(chat_folder() / ".history" if saves else None, complete_slug),
        saved=saved if saves else None,
        stream=options.stream,
        screen={"markdown": options.markdown, "reasoning": options.shows_reasoning},
    )
    for block in blocks:
        talk.attach(block)

    err().print(f"{conversation.model}; /help lists the commands", style="dim")
    if conversation.messages:
        err().print(f"goes on: {conversation.title}", style="dim")
    talk.run()
    if talk.conversation.messages and saves:
        err().print("`chat -c` goes on with this conversation.", style="dim")
