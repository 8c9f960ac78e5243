"""What the benchmarks found -> a table in Markdown and a plot."""

from __future__ import annotations

NAMES = {
    "floor": "httpx2 alone",
    "ours": "this package",
    "openai": "ChatOpenAI",
    "official": "langchain-openrouter",
    "pydantic-ai": "pydantic-ai",
}
# metric -> what it is called, its unit, and whether more is better
ROWS = {
    "text sync": ("CPU per streamed delta, text", "µs", False),
    "text async": ("… async", "µs", False),
    "reasoning sync": ("CPU per reasoning delta", "µs", False),
    "reasoning async": ("… async", "µs", False),
    "tools sync": ("CPU per tool-call delta", "µs", False),
    "tools async": ("… async", "µs", False),
    "1 at once rate": ("deltas a second, 1 stream", "/s", True),
    "30 at once rate": ("… 30 streams at once", "/s", True),
    "300 at once rate": ("… 300 streams at once", "/s", True),
    "30 at once stall": ("longest stall of the event loop, 30 streams", "ms", False),
    "first": ("time to the first piece", "ms", False),
    "small": ("CPU of a small call", "ms", False),
    "long 400": ("CPU of a call with 400 messages, 20 tools", "ms", False),
    "building 400": ("… of it, building the request", "ms", False),
    "user time": ("one more user's model", "µs", False),
    "user memory": ("… its memory", "B", False),
    "connections per user": ("TCP connections per user of one call", "", False),
    "peak memory": ("memory added by a stream of 100,000 deltas", "MiB", False),
    "import the model": ("import of the model", "ms", False),
}
GROWTH = (1_000, 10_000, 100_000)


def number(value):
    """Return three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def cell(metric, name, medians, *, more):
    """Return a value, and how many times ours it is."""
    value = medians.get(name, {}).get(metric)
    if value is None:
        return ""
    lost = medians[name].get(f"{metric} lost", 0)
    if lost > 0.01:
        return f"lost ({number(value)})"
    ours = medians.get("ours", {}).get(metric)
    if name == "ours" or not ours or value <= 0:
        return f"**{number(value)}**" if name == "ours" else number(value)
    ratio = ours / value if more else value / ours
    return f"{number(value)} ({ratio:.1f}x)" if ratio < 10 else f"{number(value)} ({ratio:.0f}x)"


def table(results):
    """Return the table, with how it was made."""
    medians = results["medians"]
    names = [name for name in NAMES if name in medians]
    lines = [
        "| |" + "|".join(NAMES[name] for name in names) + "|",
        "|---|" + "---:|" * len(names),
    ]
    for metric, (label, unit, more) in ROWS.items():
        cells = [cell(metric, name, medians, more=more) for name in names]
        if any(cells):
            lines.append(f"|{label}{f', {unit}' if unit else ''}|" + "|".join(cells) + "|")
    lines += [
        "",
        f"Medians of {results['rounds']} rounds, {results['date']}, {results['machine']}, `make bench`.",
        "In brackets: how many times this package's cost, or how many times slower. *lost*: what was",
        "sent did not arrive.",
        "",
        "How it grows, CPU per delta or call:",
        "",
        *growth(medians),
    ]
    return "\n".join(lines) + "\n"


def growth(medians):
    """Return the table of how cost grows with size."""
    names = [name for name in ("floor", "ours", "openai") if f"of {GROWTH[0]} text sync" in medians.get(name, {})]
    lines = ["| |" + "|".join(NAMES[name] for name in names) + "|", "|---|" + "---:|" * len(names)]
    rows = [
        (f"{kind} stream of {size:,} deltas, µs each", f"of {size} {kind} sync")
        for kind in ("text", "reasoning", "tools")
        for size in GROWTH
    ]
    rows += [(f"request of {size:,} messages, ms", f"growing long {size}") for size in (40, 400, 4000)]
    rows += [(f"one of {size:,} users, µs", f"of {size} users time") for size in (100, 1000, 10_000)]
    rows += [(f"import, {what}, ms", f"import {what}") for what in ("import langchain_openrouter", "login")]
    for label, metric in rows:
        found = [medians[name].get(metric) for name in names]
        if any(value is not None for value in found):
            cells = ["" if value is None else number(value) for value in found]
            lines.append(f"|{label}|" + "|".join(cells) + "|")
    return lines


def plot(results, path):
    """Draw how many times this package's cost each peer's is."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    medians = results["medians"]
    names = [name for name in NAMES if name in medians and name != "ours"]
    metrics = ["text sync", "text async", "reasoning sync", "tools sync", "300 at once rate", "first", "small", "building 400", "user time"]
    labels = ["text delta", "… async", "reasoning delta", "tool delta", "300 streams", "first piece", "small call", "long request", "one more user"]
    colours = {"floor": "#9aa5b1", "openai": "#e08e0b", "official": "#c0392b", "pydantic-ai": "#8e44ad"}
    figure, axes = plt.subplots(figsize=(10, 4.5), dpi=120)
    width = 0.8 / max(1, len(names))
    for place, name in enumerate(names):
        ratios = []
        for metric in metrics:
            ours, value = medians["ours"].get(metric), medians[name].get(metric)
            lost = medians[name].get(f"{metric} lost", 0) > 0.01
            ratio = None if lost or not ours or not value or value <= 0 else (
                ours / value if metric.endswith("rate") else value / ours
            )  # fmt: skip
            ratios.append(ratio or float("nan"))
        places = [spot + place * width - 0.4 + width / 2 for spot in range(len(metrics))]
        bars = axes.bar(places, ratios, width, color=colours[name], label=NAMES[name])
        texts = ["" if ratio != ratio else f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}" for ratio in ratios]  # noqa: PLR0124 - not a number
        axes.bar_label(bars, texts, fontsize=6.5)
    axes.axhline(1, color="#2c7a4b", linewidth=1.5, label="this package")
    axes.set_yscale("log")
    axes.set_xticks(range(len(metrics)), labels, fontsize=8)
    axes.set_ylabel("times this package's cost")
    axes.set_title(f"{results['date']}, {results['machine']}", fontsize=8)
    axes.legend(fontsize=8, ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
