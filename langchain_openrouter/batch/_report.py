"""The summary of a batch in a notebook: counts, cost, and plots by provider."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING, Any

from langchain_openrouter import _html

if TYPE_CHECKING:
    from langchain_openrouter.batch._results import BatchResult
    from langchain_openrouter.batch._stats import ProviderStats

_UNKNOWN = "not known"
_SIZE = (8.0, 2.6)  # inches
_INK = "#777777"  # readable on a light page and on a dark one


def to_html(result: BatchResult) -> str:
    """Return the summary; with plots, where matplotlib is installed."""
    total = "" if result.total is None else f" of {result.total:,}"
    facts = [
        ("rows", f"{result.done:,} done{total}, {result.failed:,} failed"),
        ("cost", f"{result.spent:.6f} USD, of which {result.cost:.6f} in this run"),
        ("time", f"{result.seconds:.1f} s"),
    ]
    if result.stopped:
        facts.append(("stopped", f"{result.stopped}: the same call goes on"))
    if result.path is not None:
        facts.append(("output", str(result.path)))

    head = ("provider", "rows", "failed", "in", "out", "cached", "mean s", "USD")
    providers = _by_cost(result)
    table = _html.table(head, [_cells(name, stats) for name, stats in providers])
    parts = [_html.facts(facts), table]
    if result.stats.errors:
        counts = sorted(result.stats.errors.items(), key=lambda item: -item[1])
        parts.append(_html.table(("error", "rows"), [(name, f"{n:,}") for name, n in counts]))
    return "".join([*parts, _plots(providers)])


def _by_cost(result: BatchResult) -> list[tuple[str, ProviderStats]]:
    providers = sorted(result.stats.by_provider.items(), key=lambda item: -item[1].cost)
    return [(name or _UNKNOWN, stats) for name, stats in providers]


def _cells(name: str, stats: ProviderStats) -> tuple[str, ...]:
    counts = (stats.rows, stats.failed, stats.input_tokens, stats.output_tokens)
    return (
        name,
        *(f"{count:,}" for count in (*counts, stats.cached_tokens)),
        f"{stats.mean_latency:.2f}",
        f"{stats.cost:.6f}",
    )


def _plots(providers: list[tuple[str, ProviderStats]]) -> str:
    """Return cost and latency by provider as a picture; nothing without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - slow, and optional
    except ImportError:
        return ""
    if not providers:
        return ""

    picture = io.BytesIO()
    figure = draw(providers, Figure(figsize=_SIZE, layout="constrained"))
    figure.savefig(picture, format="png", transparent=True)
    data = base64.b64encode(picture.getvalue()).decode()
    names = escape(", ".join(name for name, _ in providers))
    return f'<img alt="cost and latency by provider: {names}" src="data:image/png;base64,{data}">'


def draw(providers: list[tuple[str, ProviderStats]], figure: Any) -> Any:
    """Draw cost and latency by provider into a figure of matplotlib, and return it."""
    cost, latency = figure.subplots(1, 2)
    names = [name for name, _ in providers]

    cost.barh(names, [stats.cost for _, stats in providers], color="#4c72b0")
    cost.set_title("cost, USD", fontsize="medium")
    cost.invert_yaxis()

    lines = {"color": _INK}
    latency.boxplot(
        [stats.latencies for _, stats in providers],
        orientation="horizontal",
        showfliers=False,
        boxprops=lines,
        whiskerprops=lines,
        capprops=lines,
    )
    latency.set_yticks(range(1, len(names) + 1), names)
    latency.set_title("latency, seconds", fontsize="medium")
    latency.invert_yaxis()

    for axes in (cost, latency):
        axes.title.set_color(_INK)
        axes.tick_params(colors=_INK)
        axes.spines[:].set_color(_INK)
    return figure
