"""`OpenRouterEmbeddings`: vectors of texts and images."""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings
from pydantic import Field

from langchain_openrouter import errors
from langchain_openrouter._embeddings_progress import (
    EmbeddingsProgress,
    EmbeddingsReporter,
    ShowProgress,
    open_progress,
)
from langchain_openrouter._http.metering import new_call
from langchain_openrouter._json import get_dict, get_dicts, get_number, get_str
from langchain_openrouter._provider_preferences import merge_provider
from langchain_openrouter._resource import ModelResource

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from langchain_openrouter._http.transport import Request

__all__ = ["EmbeddingsProgress", "EmbeddingsResult", "OpenRouterEmbeddings"]

_FLOAT_SIZE = 4  # bytes


@dataclass(frozen=True, slots=True)
class EmbeddingsResult:
    """Vectors in the order of the inputs, and the cost of the requests."""

    vectors: list[list[float]] = field(repr=False)
    usage: dict[str, Any] = field(default_factory=dict)
    """As sent; the sum where there were several requests."""
    cost: float | None = None
    """USD."""
    model_name: str | None = None
    """The model that served the request."""
    provider: str | None = None
    ids: tuple[str, ...] = ()
    """The generation id of each request."""


class OpenRouterEmbeddings(ModelResource, Embeddings):
    """Embed with any embedding model on OpenRouter.

    Texts are sent as text: nothing is tokenized here, and no tokenizer is loaded.

    Example:
        ```python
        from langchain_openrouter import OpenRouterEmbeddings

        embeddings = OpenRouterEmbeddings(model="openai/text-embedding-3-small")
        vector = embeddings.embed_query("Why is the sky blue?")
        ```

    See https://openrouter.ai/docs/api-reference/embeddings.

    Raises:
        pydantic.ValidationError: An argument is unknown or not valid. No value is shown.
    """

    dimensions: int | None = Field(default=None, ge=1)
    """Length of the vectors, for models that support several."""
    encoding_format: str | None = None
    """"float" or "base64", which is smaller on the wire; vectors are lists of floats either way."""
    input_type: str | None = None
    """"query" or "document", for models that distinguish them."""
    user: str | None = None
    chunk_size: int = Field(default=256, ge=1)
    """The maximum number of inputs in a request; more are sent in several requests."""
    progress: ShowProgress = Field(default=None, exclude=True, repr=False)
    """None shows a bar in a notebook or a terminal with rich, where there are several requests;
    True for each call; False never; a callable is called with an `EmbeddingsProgress` instead."""

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

    def embed(self, inputs: Sequence[Any], *, progress: ShowProgress = None) -> EmbeddingsResult:
        """Return vectors with their usage and cost.

        Args:
            inputs: Texts; or lists of content parts, `{"type": "text", "text": ...}` and
                `{"type": "image_url", "image_url": {"url": ...}}`, for multimodal models.
            progress: As the field of this name, which None leaves in force.

        Raises:
            OpenRouterError: A request failed; see `errors`. A response that lacks a vector is an
                `UpstreamError`.
            TypeError: An input is of another type.
        """
        parts, results = self._parts(inputs), []

        with self._open_progress(progress, parts) as reporter:
            for part in parts:
                request = self._embeddings_request(part)
                result = _to_result(self._send(request, sensitive=part), len(part))
                results.append(result)
                reporter.on_result(len(part), result.cost)
        return _merge(results)

    async def aembed(
        self, inputs: Sequence[Any], *, progress: ShowProgress = None
    ) -> EmbeddingsResult:
        """Return like `embed`."""
        parts, results = self._parts(inputs), []

        with self._open_progress(progress, parts) as reporter:
            for part in parts:
                request = self._embeddings_request(part)
                result = _to_result(await self._asend(request, sensitive=part), len(part))
                results.append(result)
                reporter.on_result(len(part), result.cost)
        return _merge(results)

    def _open_progress(
        self, progress: ShowProgress, parts: list[list[Any]]
    ) -> AbstractContextManager[EmbeddingsReporter]:
        shown = self.progress if progress is None else progress
        return open_progress(shown, sum(map(len, parts)), len(parts))

    def _embeddings_request(self, inputs: list[Any]) -> Request:
        body = self._body(inputs)
        return self._build_request("/embeddings", body, call=new_call("embeddings", body))

    def _parts(self, inputs: Sequence[Any]) -> list[list[Any]]:
        items = [_to_wire_input(item) for item in inputs]
        size = self.chunk_size
        return [items[start : start + size] for start in range(0, len(items), size)]

    def _body(self, inputs: list[Any]) -> dict[str, Any]:
        body = {
            "model": self.model,
            "input": inputs,
            "encoding_format": self.encoding_format,
            "dimensions": self.dimensions,
            "input_type": self.input_type,
            "user": self.user or None,
            **self.model_kwargs,
        }
        if self.openrouter_provider is not None:
            further = self.model_kwargs.get("provider", {})
            body["provider"] = merge_provider(self.openrouter_provider, further)

        return {name: value for name, value in body.items() if value is not None}


def _to_wire_input(value: Any) -> Any:
    """Convert an input to its form in a request.

    Raises:
        TypeError: It is neither a text nor content parts.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {"content": [value]} if "type" in value else dict(value)
    if isinstance(value, Sequence) and all(isinstance(part, Mapping) for part in value):
        return {"content": [dict(part) for part in value]}

    msg = f"an input is a text or a list of content parts, not {type(value).__name__}"
    raise TypeError(msg)


def _to_result(response: dict[str, Any], count: int) -> EmbeddingsResult:
    """Convert a response.

    Raises:
        UpstreamError: It lacks a vector.
    """
    by_index: dict[int, list[float] | None] = {}
    for position, row in enumerate(get_dicts(response, "data")):
        index = row["index"] if isinstance(row.get("index"), int) else position
        by_index[index] = _parse_vector(row.get("embedding"))

    vectors = [vector for index in range(count) if (vector := by_index.get(index))]
    if len(vectors) != count:
        message = f"the answer holds {len(vectors)} of {count} vectors"
        raise errors.UpstreamError(message, generation_id=get_str(response, "id"))

    usage = get_dict(response, "usage") or {}
    generation_id = get_str(response, "id")
    return EmbeddingsResult(
        vectors,
        usage,
        get_number(usage, "cost"),
        get_str(response, "model"),
        get_str(response, "provider"),
        (generation_id,) if generation_id else (),
    )


def _parse_vector(value: Any) -> list[float] | None:
    """Parse a vector; None if it is none, or holds what is no finite number."""
    vector = _parse_numbers(value)
    return vector if vector is not None and all(map(math.isfinite, vector)) else None


def _parse_numbers(value: Any) -> list[float] | None:
    """Parse a list of numbers, or base64 of little-endian 32-bit floats; None if it is neither."""
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except ValueError:
            return None
        if len(data) % _FLOAT_SIZE:
            return None

        floats = array("f", data)
        if sys.byteorder == "big":
            floats.byteswap()
        return floats.tolist()

    if not isinstance(value, list) or not all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in value
    ):
        return None
    try:
        return [float(number) for number in value]
    except OverflowError:
        return None


def _merge(results: list[EmbeddingsResult]) -> EmbeddingsResult:
    """Merge the results of several requests: vectors in order, usage and cost summed."""
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
        tuple(id_ for result in results for id_ in result.ids),
    )
