"""Cassettes as files: YAML that people read, streams as text, byte for byte, origin first.

A vcrpy serializer and persister.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from vcr.persisters.filesystem import CassetteNotFoundError
from vcr.serialize import deserialize, serialize
from vcr.serializers import yamlserializer

from langchain_openrouter.testing._scrub import secrets_in

if TYPE_CHECKING:
    from collections.abc import Mapping

# What YAML would change in a block of literal text: other line breaks, control characters, lines
# that begin or end in white space. https://yaml.org/spec/1.1/#id884463
_UNSAFE = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ufeff\\ud800-\\udfff\\t]| \\n|\\A\\s"
)
ORIGIN = "# Recorded against: "


class LeakError(AssertionError):
    """A recording held a secret; its file was deleted."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    block = "\n" in text and not _UNSAFE.search(text)
    style = "|" if block else '"' if _UNSAFE.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


class Readable:
    """The serializer."""

    @staticmethod
    def serialize(cassette: dict[str, Any]) -> str:
        """Return the YAML; texts that blocks would change are quoted."""
        dumped: str = yaml.dump(
            cassette, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9
        )
        return dumped

    @staticmethod
    def deserialize(text: str) -> Any:
        """Read what `serialize` wrote, and vcrpy's own."""
        return yamlserializer.deserialize(text)


class Files:
    """The persister: writes the origin first, and takes back a file that leaks.

    Args:
        origin: What the recording was made against.
        known: Secrets that were seen while recording.
    """

    def __init__(self, origin: str, known: Mapping[str, str]) -> None:
        self._origin = origin
        self._known = known
        self.failure: AssertionError | None = None
        """What was wrong with the file, which is gone then. Kept, not raised: vcrpy would leave
        its patches in place until they are collected, in the middle of another test."""

    @staticmethod
    def load_cassette(path: str | Path, serializer: Any) -> Any:
        """Read a cassette.

        Raises:
            CassetteNotFoundError: There is none.
        """
        if not Path(path).is_file():
            raise CassetteNotFoundError
        return deserialize(Path(path).read_bytes().decode(), serializer)

    def save_cassette(self, path: str | Path, cassette: dict[str, Any], serializer: Any) -> None:
        """Write a cassette, and read it again; a file that is not right is deleted."""
        # vcrpy turns the bodies into text in place.
        before = [bytes(response["body"]["string"]) for response in cassette["responses"]]
        text = serialize(cassette, serializer)
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(f"{ORIGIN}{self._origin}\n{text}".encode())
        found = secrets_in(file.read_bytes().decode(), self._known)
        again = None if found else self.load_cassette(file, serializer)
        same = again is not None and before == [r["body"]["string"] for r in again[1]]
        if not same:
            file.unlink()
        if found:
            msg = f"the recording held secrets and was deleted: {', '.join(found)}"
            self.failure = LeakError(msg)
        elif not same:
            msg = f"{path} does not read as it was written, and was deleted"
            self.failure = AssertionError(msg)
