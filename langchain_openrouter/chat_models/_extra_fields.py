"""The fields of a stream's deltas beside text, reasoning and tool calls -> `additional_kwargs`."""

from __future__ import annotations

from typing import Any

from langchain_openrouter._json import get_dict, get_dicts, get_str, is_empty
from langchain_openrouter.chat_models._parsing import unknown_fields
from langchain_openrouter.chat_models._pieces import digest, join_base64, join_pieces


class ExtraFieldsAccumulator:
    """Collects images, citations, audio, the refusal, and fields that are not known by name."""

    def __init__(self) -> None:
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._seen_digests: set[bytes] = set()  # of images and annotations
        self._refusal: list[str] = []
        self.name: str | None = None
        """Of the message's author."""

        self._audio_pieces: dict[str, list[str]] = {}
        self._audio_metadata: dict[str, Any] = {}
        self._unknown: dict[str, list[Any]] = {}

    def add(self, delta: dict[str, Any], images: list[dict[str, Any]]) -> None:
        """Add the fields of one delta.

        Args:
            delta: Of the choice that is read.
            images: Images of its content.
        """
        self._add_new(self._images, [*get_dicts(delta, "images"), *images])
        self._add_new(self._annotations, get_dicts(delta, "annotations"))
        if refusal := get_str(delta, "refusal"):
            self._refusal.append(refusal)
        self.name = get_str(delta, "name") or self.name

        for name, value in (get_dict(delta, "audio") or {}).items():
            if name in {"data", "transcript"} and isinstance(value, str):
                self._audio_pieces.setdefault(name, []).append(value)
            else:
                set_latest(self._audio_metadata, name, value)

        for name, value in unknown_fields(delta, message=True).items():
            self._unknown.setdefault(name, []).append(value)

    def _add_new(self, collected: list[dict[str, Any]], items: list[dict[str, Any]]) -> None:
        """Add the items that have not come before: services repeat images and citations."""
        for item in items:
            item_digest = digest(item)
            if item_digest not in self._seen_digests:
                self._seen_digests.add(item_digest)
                collected.append(item)

    def to_additional_kwargs(
        self, reasoning_details: list[dict[str, Any]] | None
    ) -> dict[str, Any]:
        """Return the fields that are present, in the order of a complete message's."""
        fields: dict[str, Any] = {
            **{name: join_pieces(values) for name, values in self._unknown.items()},
            "reasoning_details": reasoning_details,
            "images": self._images or None,
            "annotations": self._annotations or None,
            "audio": self._audio(),
            "refusal": "".join(self._refusal) or None,
        }

        return {name: value for name, value in fields.items() if value is not None}

    def _audio(self) -> dict[str, Any] | None:
        if not self._audio_pieces and not self._audio_metadata:
            return None

        audio = dict(self._audio_metadata)
        if "data" in self._audio_pieces:
            audio["data"] = join_base64(self._audio_pieces["data"])
        if "transcript" in self._audio_pieces:
            audio["transcript"] = "".join(self._audio_pieces["transcript"])
        return audio


def set_latest(fields: dict[str, Any], name: str, value: Any) -> None:
    """Set a field to its latest value; an empty value never replaces another."""
    if is_empty(value):
        fields.setdefault(name, value)
    else:
        fields[name] = value
