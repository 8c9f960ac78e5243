"""The commands `chat` and `conversations`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_openrouter._cli_chat import _conversations
from langchain_openrouter._cli_models import complete_slug

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_openrouter.oauth import UserKey

__all__ = ["add_chat"]

_EXAMPLES = """Examples:

langchain-openrouter chat                                     (a conversation)

langchain-openrouter chat 'Capital of France?' -m openai/gpt-4o-mini

git diff | langchain-openrouter chat -s 'Write a commit message'

langchain-openrouter chat 'What is this?' -a picture.jpg -a https://example.org/paper.pdf

langchain-openrouter chat 'Invent a dog' --schema 'name, age int, bio: one sentence'

langchain-openrouter chat -c 'And in Spanish?' -o temperature=0
"""


def add_chat(app: typer.Typer, find_key: Callable[[], UserKey]) -> None:
    """Add the commands to an app.

    Args:
        app: The app.
        find_key: Returns the key that requests are sent with.
    """
    app.add_typer(_conversations.app, name="conversations")

    @app.command(epilog=_EXAMPLES)
    def chat(  # noqa: PLR0913, PLR0917 - the options of a chat
        prompt: Annotated[list[str] | None, typer.Argument(help="The question.")] = None,
        model: Annotated[
            str | None,
            typer.Option(
                "-m",
                "--model",
                help="Slug; else openai/gpt-4o-mini.",
                envvar="LANGCHAIN_OPENROUTER_MODEL",
                autocompletion=complete_slug,
            ),
        ] = None,
        query: Annotated[
            list[str] | None,
            typer.Option("-q", "--query", help="The first model with these terms."),
        ] = None,
        system: Annotated[
            str | None, typer.Option("-s", "--system", help="The system prompt.")
        ] = None,
        option: Annotated[
            list[str] | None,
            typer.Option("-o", "--option", help="NAME=VALUE: any argument of ChatOpenRouter."),
        ] = None,
        attachment: Annotated[
            list[str] | None,
            typer.Option("-a", "--attachment", help="A file, an address, or - (standard input)."),
        ] = None,
        attachment_type: Annotated[
            list[str] | None,
            typer.Option("--at", "--attachment-type", help="PATH=TYPE, such as -=image/jpeg."),
        ] = None,
        template: Annotated[
            str | None,
            typer.Option("-t", "--template", help="A file with $input and other $names."),
        ] = None,
        param: Annotated[
            list[str] | None, typer.Option("-p", "--param", help="NAME=VALUE of the template.")
        ] = None,
        schema: Annotated[
            str | None, typer.Option("--schema", help="A file, JSON, or 'name, age int'.")
        ] = None,
        schema_multi: Annotated[
            str | None, typer.Option("--schema-multi", help="Several of them, in `items`.")
        ] = None,
        reasoning: Annotated[str | None, typer.Option(help="low, medium, high, ...")] = None,
        conversation: Annotated[
            str | None, typer.Option("--cid", "--conversation", help="Go on with this one.")
        ] = None,
        *,
        continue_: Annotated[
            bool, typer.Option("-c", "--continue", help="Go on with the last conversation.")
        ] = False,
        no_stream: Annotated[
            bool, typer.Option("--no-stream", help="Print the answer when it is complete.")
        ] = False,
        no_log: Annotated[
            bool,
            typer.Option(
                "-n",
                "--no-log",
                help="Save neither conversation nor history.",
                envvar="LANGCHAIN_OPENROUTER_NO_LOG",
            ),
        ] = False,
        plain: Annotated[bool, typer.Option("--plain", help="Markdown as it is.")] = False,
        hide_reasoning: Annotated[
            bool, typer.Option("-R", "--hide-reasoning", help="Without reasoning.")
        ] = False,
        usage: Annotated[bool, typer.Option("-u", "--usage", help="Tokens, too.")] = False,
        extract: Annotated[
            bool, typer.Option("-x", "--extract", help="The first fenced block alone.")
        ] = False,
        extract_last: Annotated[
            bool, typer.Option("--xl", "--extract-last", help="The last one alone.")
        ] = False,
        as_json: Annotated[
            bool, typer.Option("--json", help="The complete answer as JSON.")
        ] = False,
    ) -> None:
        """Ask a model; piped input is added to the question. Without one, a conversation."""
        from langchain_openrouter._cli_chat import _command  # noqa: PLC0415 - slow to import

        options = _command.ChatOptions(
            prompt=" ".join(prompt or ()),
            model=model,
            query=query or [],
            system=system,
            option=option or [],
            attachment=attachment or [],
            attachment_type=attachment_type or [],
            template=template,
            param=param or [],
            schema=schema,
            schema_multi=schema_multi,
            reasoning=reasoning,
            conversation=conversation,
            continues=continue_ or conversation is not None,
            stream=not no_stream,
            saves=not no_log,
            markdown=not plain and sys.stdout.isatty(),
            shows_reasoning=not hide_reasoning,
            shows_usage=usage,
            extract="last" if extract_last else "first" if extract else None,
            as_json=as_json,
        )
        _command.run(options, find_key())
