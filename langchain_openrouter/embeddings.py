"""`OpenRouterEmbeddings`: vectors of texts and pictures, on the settings and pool of chat."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings
from pydantic import Field

from langchain_openrouter import errors
from langchain_openrouter._json import get_dict, get_dicts, get_number, get_str
from langchain_openrouter._resource import Endpoint

if TYPE_CHECKING:
    from langchain_openrouter import wire

    Provider = wire.ProviderPreferences | dict[str, Any]
else:  # pydantic would drop the keys that a TypedDict does not name
    Provider = dict[str, Any]

_FLOAT = 4  # bytes


@dataclass(frozen=True, slots=True)
class EmbeddingsResult:
    """Vectors in the order of the inputs, and what they cost."""

    vectors: list[list[float]] = field(repr=False)
    usage: dict[str, Any] = field(default_factory=dict)
    """As sent; of several requests, summed."""
    cost: float | None = None
    """USD."""
    model_name: str | None = None
    """As served."""
    provider: str | None = None
    ids: tuple[str, ...] = ()
    """The generation id of each request."""


class OpenRouterEmbeddings(Endpoint, Embeddings):
    """Embed with any embedding model on OpenRouter.

    Texts are sent as texts: nothing is tokenised here, and no tokeniser is loaded.

    Example:
        ```python
        from langchain_openrouter import OpenRouterEmbeddings

        embeddings = OpenRouterEmbeddings(model="openai/text-embedding-3-small")
        vector = embeddings.embed_query("Why is the sky blue?")
        ```

    See https://openrouter.ai/docs/api-reference/embeddings.

    Raises:
        pydantic.ValidationError: An argument is not known or does not fit. No value is shown.
    """

    model: str
    """Slug."""
    dimensions: int | None = Field(default=None, ge=1)
    """Length of the vectors, for models that can choose."""
    encoding_format: str | None = None
    """"float" or "base64", which is smaller on the wire; floats come out of either."""
    input_type: str | None = None
    """"query" or "document", for models that tell them apart."""
    openrouter_provider: Provider | None = None
    """Which endpoints may serve, as with chat."""
    user: str | None = None
    chunk_size: int = Field(default=256, ge=1)
    """Inputs of one request; more are split, and come back in order."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict, exclude=True, repr=False)
    """Further fields of the body."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text, in order."""
        return self.embed(texts).vectors

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a text."""
        return self.embed([text]).vectors[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return like `embed_documents`."""
        return (await self.aembed(texts)).vectors

    async def aembed_query(self, text: str) -> list[float]:
        """Return like `embed_query`."""
        return (await self.aembed([text])).vectors[0]

    def embed(self, inputs: Sequence[Any]) -> EmbeddingsResult:
        """Return vectors with their usage and cost.

        Args:
            inputs: Texts; or lists of content parts, `{"type": "text", "text": ...}` and
                `{"type": "image_url", "image_url": {"url": ...}}`, for multimodal models.

        Raises:
            OpenRouterError: As with chat; an answer that lacks a vector is an `UpstreamError`.
        """
        results = []
        for part in self._parts(inputs):
            request = self._build_request("/embeddings", self._body(part))
            results.append(_read(self._send(request, sensitive=_texts(part)), len(part)))
        return _joined(results)

    async def aembed(self, inputs: Sequence[Any]) -> EmbeddingsResult:
        """Return like `embed`."""
        results = []
        for part in self._parts(inputs):
            request = self._build_request("/embeddings", self._body(part))
            results.append(_read(await self._asend(request, sensitive=_texts(part)), len(part)))
        return _joined(results)

    def _parts(self, inputs: Sequence[Any]) -> list[list[Any]]:
        wired = [_input(one) for one in inputs]
        return [wired[at : at + self.chunk_size] for at in range(0, len(wired), self.chunk_size)]

    def _body(self, inputs: list[Any]) -> dict[str, Any]:
        body = {
            "model": self.model,
            "input": inputs,
            "encoding_format": self.encoding_format,
            "dimensions": self.dimensions,
            "input_type": self.input_type,
            "user": self.user,
            "provider": self.openrouter_provider,
            **self.model_kwargs,
        }
        return {name: value for name, value in body.items() if value is not None}


def _input(one: Any) -> Any:
    """Return an input by its wire form.

    Raises:
        TypeError: It is neither a text nor content parts.
    """
    if isinstance(one, str):
        return one
    if isinstance(one, Mapping):
        return {"content": [one]} if "type" in one else dict(one)
    if isinstance(one, Sequence) and all(isinstance(part, Mapping) for part in one):
        return {"content": [dict(part) for part in one]}
    msg = f"an input is a text or a list of content parts, not {type(one).__name__}"
    raise TypeError(msg)


def _texts(inputs: list[Any]) -> str:
    return "\n".join(one for one in inputs if isinstance(one, str))


def _read(answer: dict[str, Any], count: int) -> EmbeddingsResult:
    """Read an answer.

    Raises:
        UpstreamError: It lacks a vector.
    """
    rows = get_dicts(answer, "data")
    by_place = {
        row["index"] if isinstance(row.get("index"), int) else place: vector_of(
            row.get("embedding")
        )
        for place, row in enumerate(rows)
    }
    vectors = [by_place.get(place) for place in range(count)]
    whole = [vector for vector in vectors if vector]
    if len(whole) != count:
        message = f"the answer holds {len(whole)} of {count} vectors"
        raise errors.UpstreamError(message, generation_id=get_str(answer, "id"))
    usage = get_dict(answer, "usage") or {}
    generation_id = get_str(answer, "id")
    return EmbeddingsResult(
        whole,
        usage,
        get_number(usage, "cost"),
        get_str(answer, "model"),
        get_str(answer, "provider"),
        (generation_id,) if generation_id else (),
    )


def vector_of(value: Any) -> list[float] | None:
    """Return a vector, sent as numbers or as base64 of little-endian floats; None if it is none."""
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except ValueError:
            return None
        if len(data) % _FLOAT:
            return None
        floats = array("f", data)
        if sys.byteorder == "big":
            floats.byteswap()
        return floats.tolist()
    if not isinstance(value, list) or not all(
        isinstance(x, int | float) and not isinstance(x, bool) for x in value
    ):
        return None
    return [float(x) for x in value]


def _joined(results: list[EmbeddingsResult]) -> EmbeddingsResult:
    """Return several results as one: vectors in order, counts and cost summed."""
    if len(results) == 1:
        return results[0]
    usage: dict[str, Any] = {}
    for result in results:
        for name in result.usage:
            number = get_number(result.usage, name)
            if number is not None:
                usage[name] = usage.get(name, 0) + number
    costs = [result.cost for result in results if result.cost is not None]
    last = results[-1] if results else EmbeddingsResult([])
    return EmbeddingsResult(
        [vector for result in results for vector in result.vectors],
        usage,
        sum(costs) if costs else None,
        last.model_name,
        last.provider,
        tuple(one for result in results for one in result.ids),
    )
