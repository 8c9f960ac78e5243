"""`OpenRouterRerank`: order documents by relevance, for LangChain's retrievers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field

from langchain_openrouter import errors
from langchain_openrouter._http.metering import new_call
from langchain_openrouter._json import get_dict, get_dicts, get_int, get_number, get_str
from langchain_openrouter._provider_preferences import merge_provider
from langchain_openrouter._resource import ModelResource

if TYPE_CHECKING:
    from langchain_core.callbacks import Callbacks

    from langchain_openrouter._http.transport import Request


__all__ = ["OpenRouterRerank", "Ranked", "RankedDocument", "RerankResult"]


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """The relevance of a document."""

    index: int
    """The document's index in the input."""
    score: float
    """The relevance score of the model, comparable within one result."""


Ranked = RankedDocument  # former name


@dataclass(frozen=True, slots=True)
class RerankResult:
    """Documents by descending relevance, and the cost of the request."""

    results: list[RankedDocument]
    usage: dict[str, Any] = field(default_factory=dict)
    """As sent: `search_units`, `total_tokens`, `cost`."""
    cost: float | None = None
    """USD."""
    model_name: str | None = None
    provider: str | None = None
    id: str | None = None

    @property
    def ranked(self) -> list[RankedDocument]:
        """The former name of `results`."""
        return self.results


class OpenRouterRerank(ModelResource, BaseDocumentCompressor):
    """Rerank with any rerank model on OpenRouter.

    Example:
        ```python
        from langchain_openrouter import OpenRouterRerank

        rerank = OpenRouterRerank(model="cohere/rerank-v3.5", top_n=3)
        best = rerank.compress_documents(documents, "Why is the sky blue?")
        ```

    See https://openrouter.ai/docs/api-reference/rerank.
    """

    top_n: int | None = Field(default=None, ge=1)
    """The maximum number of results; None returns all."""

    def rerank(
        self, query: str, documents: Sequence[Any], *, top_n: int | None = None
    ) -> RerankResult:
        """Rank documents by relevance, best first.

        Args:
            query: The search query.
            documents: Texts, LangChain documents, or `{"text": ..., "image": ...}`.
            top_n: The maximum number of results; None takes the object's own.

        Raises:
            OpenRouterError: The request failed; see `errors`.
            TypeError: A document is of another type.
        """
        texts = [_to_wire_document(document) for document in documents]
        if not texts:
            return RerankResult([])
        request = self._rerank_request(query, texts, top_n)
        return _to_result(self._send(request, sensitive=[query, texts]), len(texts))

    async def arerank(
        self, query: str, documents: Sequence[Any], *, top_n: int | None = None
    ) -> RerankResult:
        """Return like `rerank`."""
        texts = [_to_wire_document(document) for document in documents]
        if not texts:
            return RerankResult([])
        request = self._rerank_request(query, texts, top_n)
        return _to_result(await self._asend(request, sensitive=[query, texts]), len(texts))

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return copies of the best documents, with `relevance_score` in their metadata."""
        del callbacks
        return _scored(documents, self.rerank(query, documents))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return like `compress_documents`."""
        del callbacks
        return _scored(documents, await self.arerank(query, documents))

    def _rerank_request(self, query: str, documents: list[Any], top_n: int | None) -> Request:
        body = self._body(query, documents, top_n)
        return self._build_request("/rerank", body, call=new_call("rerank", body))

    def _body(self, query: str, documents: list[Any], top_n: int | None) -> dict[str, Any]:
        body = {
            "model": self.model,
            "query": query,
            "documents": documents,
            "top_n": top_n or self.top_n,
            **self.model_kwargs,
        }
        if self.openrouter_provider is not None:
            further = self.model_kwargs.get("provider", {})
            body["provider"] = merge_provider(self.openrouter_provider, further)

        return {name: value for name, value in body.items() if value is not None}


def _to_wire_document(document: Any) -> Any:
    """Convert a document to its form in a request.

    Raises:
        TypeError: It is not a document.
    """
    if isinstance(document, Document):
        return document.page_content
    if isinstance(document, str):
        return document
    if isinstance(document, Mapping):
        return dict(document)

    msg = f"a document is a text, a Document or a mapping, not {type(document).__name__}"
    raise TypeError(msg)


def _to_result(response: dict[str, Any], count: int) -> RerankResult:
    """Convert a response.

    Raises:
        UpstreamError: It contains no results.
    """
    rows = response.get("results")
    if not isinstance(rows, list):
        message = "the answer holds no results"
        raise errors.UpstreamError(message, generation_id=get_str(response, "id"))

    ranked = [
        RankedDocument(index, score)
        for row in get_dicts(response, "results")
        if (index := get_int(row, "index")) is not None
        and 0 <= index < count
        and (score := get_number(row, "relevance_score")) is not None
    ]

    usage = get_dict(response, "usage") or {}
    return RerankResult(
        ranked,
        usage,
        get_number(usage, "cost"),
        get_str(response, "model"),
        get_str(response, "provider"),
        get_str(response, "id"),
    )


def _scored(documents: Sequence[Document], result: RerankResult) -> list[Document]:
    """Return copies of the ranked documents, with `relevance_score` in their metadata."""
    return [
        Document(
            page_content=documents[item.index].page_content,
            metadata={**documents[item.index].metadata, "relevance_score": item.score},
            id=documents[item.index].id,
        )
        for item in result.results
    ]
