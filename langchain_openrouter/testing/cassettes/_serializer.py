"""Cassettes as files: YAML that people read, streams as text, byte for byte, origin first.

A vcrpy serializer and persister.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import yaml
from vcr.persisters.filesystem import CassetteNotFoundError
from vcr.serialize import deserialize, serialize

from langchain_openrouter.testing.cassettes._origin import ORIGIN
from langchain_openrouter.testing.cassettes._scrubbing import MOST_SECRETS, secrets_in_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_openrouter.testing.cassettes._scrubbing import Scrubber

# What YAML would change in a block of literal text: other line breaks, control characters, lines
# that begin or end in white space. https://yaml.org/spec/1.1/#id884463
_UNSAFE = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ufeff\\ud800-\\udfff\\t]| \\n|\\A\\s"
)


class LeakError(AssertionError):
    """A recording held a secret, and was not written."""


class UnreadableError(ValueError):
    """A file is not a cassette; the message says what is wrong, and where."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    block = "\n" in text and not _UNSAFE.search(text)
    style = "|" if block else '"' if _UNSAFE.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Builds plain values alone: no tag runs code. libyaml's parser, where it is installed."""

    def flatten_mapping(self, node: Any) -> None:
        """Refuse `<<`: merges of merges grow without a bound."""
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            problem = "a merge (`<<`) has no use in a cassette"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


class YamlSerializer:
    """The serializer: a class of two functions, as vcrpy has it."""

    @staticmethod
    def serialize(cassette: dict[str, Any]) -> str:
        """Return the YAML; texts that blocks would change are quoted."""
        dumped: str = yaml.dump(
            cassette, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9
        )
        return dumped

    @staticmethod
    def deserialize(text: str) -> dict[str, Any]:
        """Parse what `serialize` wrote, and vcrpy's own; plain values alone, so no code is run.

        Raises:
            UnreadableError: It is not YAML, or does not have the form of a cassette.
        """
        try:
            data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader's subclass
        except yaml.YAMLError as error:
            raise UnreadableError(_position(error)) from None
        except (ValueError, OverflowError, RecursionError, AttributeError, TypeError) as error:
            # PyYAML raises them for values such as the date 2024-99-99 and of lists 1,000 deep.
            msg = f"holds a value that cannot be read ({type(error).__name__})"
            raise UnreadableError(msg) from None

        faults = shape_faults(data)
        if faults:
            raise UnreadableError("; ".join(faults[:3]))
        cassette: dict[str, Any] = data
        return cassette


def _position(error: yaml.YAMLError) -> str:
    """Return what is wrong and in which line, without the line, which may hold a secret."""
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "not YAML")[:120]
    return f"line {mark.line + 1}: {problem}" if mark else problem


# --- the form of a cassette -------------------------------------------------------------------


_FORMS: dict[str, dict[str, tuple[type, ...]]] = {
    "request": {
        "method": (str,),
        "uri": (str,),
        "body": (str, bytes, NoneType),
        "headers": (dict,),
    },
    "response": {"status": (dict,), "headers": (dict,), "body": (dict,)},
}


def shape_faults(data: Any) -> list[str]:
    """Return a line for each fault in the form of a cassette, without the texts that it holds."""
    if not isinstance(data, Mapping):
        return [f"is {_kind(data)}, not a mapping with `interactions`"]
    interactions = data.get("interactions")
    if not isinstance(interactions, list):
        return [f"`interactions` is {_kind(interactions)}, not a list"]

    return [
        f"exchange {number}: {fault}"
        for number, interaction in enumerate(interactions, start=1)
        for fault in _interaction_faults(interaction)
    ]


def _interaction_faults(interaction: Any) -> Iterator[str]:
    if not isinstance(interaction, Mapping):
        yield f"is {_kind(interaction)}, not a mapping"
        return

    for side, form in _FORMS.items():
        yield from _faults(interaction.get(side), side, form)

    response = interaction.get("response")
    if isinstance(response, Mapping):
        yield from _faults(response.get("status"), "response.status", {"code": (int,)})
        yield from _faults(response.get("body"), "response.body", {"string": (str, bytes)})


def _faults(value: Any, name: str, form: dict[str, tuple[type, ...]]) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"`{name}` is {_kind(value)}, not a mapping"
        return

    for field, kinds in form.items():
        item = value.get(field)
        if not isinstance(item, kinds) or isinstance(item, bool):
            yield f"`{name}.{field}` is {_kind(item)}"
        elif isinstance(item, dict) and field == "headers":
            yield from _header_faults(item, f"{name}.{field}")


def _header_faults(headers: Mapping[Any, Any], name: str) -> Iterator[str]:
    for header, value in headers.items():
        values = value if isinstance(value, list) else [value]
        if not isinstance(header, str) or not all(isinstance(v, (str, bytes)) for v in values):
            yield f"`{name}` holds a name or a value that is not a text"
            return


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    kinds = ((bool, "a boolean"), (Mapping, "a mapping"), (list, "a list"), (int, "a number"))
    return next((text for kind, text in kinds if isinstance(value, kind)), "a text")


# --- the files --------------------------------------------------------------------------------


class ScrubbingPersister:
    """The persister: writes the origin first, and writes no recording that holds a secret.

    Args:
        origin: What the recording was made against.
        scrubber: Has the secrets that were seen while recording.

    Attributes:
        failure: Why nothing was written. Stored, not raised: vcrpy would leave its patches in
            place until they are collected, in the middle of another test.
    """

    def __init__(self, origin: str, scrubber: Scrubber) -> None:
        self._origin = origin
        self._scrubber = scrubber
        self.failure: AssertionError | None = None

    @staticmethod
    def load_cassette(path: str | Path, serializer: Any) -> Any:
        """Read a cassette.

        Raises:
            CassetteNotFoundError: There is none.
            UnreadableError: The file is not a cassette.
        """
        if not Path(path).is_file():
            raise CassetteNotFoundError
        try:
            return deserialize(Path(path).read_bytes().decode(), serializer)
        except UnicodeDecodeError:
            msg = "is not UTF-8"
            raise UnreadableError(msg) from None

    def save_cassette(self, path: str | Path, cassette: dict[str, Any], serializer: Any) -> None:
        """Write a cassette, if it holds no secret and reads as it was recorded."""
        # vcrpy turns the bodies into text in place.
        before = [bytes(response["body"]["string"]) for response in cassette["responses"]]
        text = serialize(cassette, serializer)
        self.failure = self._leak(text) or _difference(text, before, serializer)
        if self.failure is None:
            file = Path(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(f"{ORIGIN}{self._origin}\n{text}".encode())

    def _leak(self, text: str) -> LeakError | None:
        if self._scrubber.overflowed:
            msg = f"{MOST_SECRETS} secrets and more in one recording: it is not written"
            return LeakError(msg)
        secrets = secrets_in_all(YamlSerializer.deserialize(text), self._scrubber.seen)
        if not secrets:
            return None

        msg = (
            f"the recording holds secrets and is not written: {', '.join(secrets)}. They stand "
            "in a form that cannot be replaced (encoded, or cut into pieces): let the test send "
            "and receive something else"
        )
        return LeakError(msg)


def _difference(text: str, before: list[bytes], serializer: Any) -> AssertionError | None:
    """Return an error if the bodies do not read as they were recorded."""
    if before == [response["body"]["string"] for response in deserialize(text, serializer)[1]]:
        return None
    msg = "the recording does not read as it was recorded, and is not written"
    return AssertionError(msg)
