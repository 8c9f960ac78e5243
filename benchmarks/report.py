"""What the benchmarks found -> a table in Markdown and a plot."""

from __future__ import annotations

import math

from targets import growth_table, number, target_table

NAMES = {
    "floor": "httpx2 alone",
    "ours": "this package",
    "openai": "ChatOpenAI",
    "official": "langchain-openrouter",
    "pydantic-ai": "pydantic-ai",
}
# metric -> what it is called, and its unit
ROWS = {
    "text sync": ("CPU per streamed delta, text", "µs"),
    "text async": ("… async", "µs"),
    "reasoning sync": ("CPU per reasoning delta", "µs"),
    "reasoning async": ("… async", "µs"),
    "tools sync": ("CPU per tool-call delta", "µs"),
    "tools async": ("… async", "µs"),
    "responses text sync": ("CPU per streamed delta of /responses, text", "µs"),
    "responses reasoning sync": ("… reasoning", "µs"),
    "responses tools sync": ("… tool calls", "µs"),
    "1 at once rate": ("deltas a second, 1 stream", "/s"),
    "30 at once rate": ("… 30 streams at once", "/s"),
    "300 at once rate": ("… 300 streams at once", "/s"),
    "30 at once stall": ("longest stall of the event loop, 30 streams", "ms"),
    "300 at once stall": ("… 300 streams", "ms"),
    "paced": ("CPU per piece, 100 streams of 50 pieces a second", "µs"),
    "first": ("time to the first piece", "ms"),
    "small": ("CPU of a small call", "ms"),
    "long 400": ("CPU of a call with 400 messages, 20 tools", "ms"),
    "building 400": ("… of it, building the request", "ms"),
    "newcomer": ("CPU of one more user's model and first call", "ms"),
    "own call": ("… of a call of a model in use", "ms"),
    "new loop": ("a call in a new event loop", "ms"),
    "before crowd": ("CPU of an async call before a crowd of 300", "ms"),
    "after crowd": ("… after it", "ms"),
    "before threads": ("CPU of a call before a crowd of 300 threads", "ms"),
    "after threads": ("… after it", "ms"),
    "user time": ("one more user's model", "µs"),
    "user memory": ("… its memory", "B"),
    "connections per user": ("TCP connections per user of one call", ""),
    "peak memory": ("memory added by a stream of 100,000 deltas", "MiB"),
    "import the model": ("import of the model", "ms"),
    "cassette 300": ("replay of one exchange of a cassette of 300", "ms"),
}
DRAWN = {
    "text sync": "text delta",
    "text async": "… async",
    "reasoning sync": "reasoning delta",
    "tools sync": "tool delta",
    "300 at once rate": "300 streams",
    "first": "first piece",
    "small": "small call",
    "building 400": "long request",
    "user time": "one more user",
}
WAYS = {
    "ours": "as it is",
    "ours+freeze": "`gc.freeze()`",
    "ours+uvloop": "uvloop",
    "ours+aiohttp": "aiohttp client",
    "ours+freeze+uvloop+aiohttp": "all three",
}
OF_WAYS = {
    "paced": "CPU per piece, 100 streams of 50 pieces a second, µs",
    "30 at once rate": "deltas a second, 30 streams at once",
    "300 at once rate": "… 300 streams",
    "30 at once stall": "longest stall of the event loop, 30 streams, ms",
    "300 at once stall": "… 300 streams, ms",
}
GROWTH = (1_000, 10_000, 100_000)


def ratio_of(metric, name, medians):
    """Return how many times this package's cost a peer's is; None where that means nothing."""
    ours, value = medians.get("ours", {}).get(metric), medians[name].get(metric)
    if name == "ours" or not ours or value is None or value <= 0 or was_lost(metric, name, medians):
        return None
    return ours / value if metric.endswith("rate") else value / ours


def was_lost(metric, name, medians):
    """Tell whether a peer did not hand on what was sent."""
    return medians[name].get(f"{metric} lost", 0) > 0.01


def times(ratio):
    """Return a ratio as text."""
    return "" if ratio is None else f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def cell(metric, name, medians):
    """Return a value, and how many times ours it is."""
    value = medians[name].get(metric)
    if value is None:
        return ""
    if was_lost(metric, name, medians):
        return f"lost ({number(value)})"
    if name == "ours":
        return f"**{number(value)}**"
    ratio = ratio_of(metric, name, medians)
    return f"{number(value)} ({times(ratio)}x)" if ratio else number(value)


def table(results):
    """Return the table, with how it was made."""
    medians = results["medians"]
    names = [name for name in NAMES if name in medians]
    lines = [
        "| |" + "|".join(NAMES[name] for name in names) + "|",
        "|---|" + "---:|" * len(names),
    ]
    for metric, (label, unit) in ROWS.items():
        cells = [cell(metric, name, medians) for name in names]
        if any(cells):
            lines.append(f"|{label}{f', {unit}' if unit else ''}|" + "|".join(cells) + "|")
    lines += [
        "",
        f"Medians of {results['rounds']} rounds, {results['date']}, {results['machine']},",
        f"`{results.get('command', 'make bench')}`.",
        "In brackets: how many times this package's cost, or how many times slower. *lost*: what was",
        "sent did not arrive.",
        "",
        "What has to be reached, in the same run (the floor is httpx2 alone):",
        "",
        *target_table(medians),
        "",
        "What an app can do:",
        "",
        *ways(medians),
        "",
        "How costs grow: the exponent of the size, where 1 is linear.",
        "",
        *growth_table(medians),
        "",
        "CPU per delta or call by size:",
        "",
        *growth(medians),
    ]
    return "\n".join(lines) + "\n"


def ways(medians):
    """Return the table of what an app can do beside the library."""
    names = [name for name in WAYS if name in medians]
    lines = ["| |" + "|".join(WAYS[name] for name in names) + "|", "|---|" + "---:|" * len(names)]
    for metric, label in OF_WAYS.items():
        values = [medians[name].get(metric) for name in names]
        if any(values):
            cells = ["" if value is None else number(value) for value in values]
            lines.append(f"|{label}|" + "|".join(cells) + "|")
    return lines


def growth(medians):
    """Return the table of how cost grows with size."""
    names = [
        name
        for name in ("floor", "ours", "openai")
        if f"of {GROWTH[0]} text sync" in medians.get(name, {})
    ]
    lines = ["| |" + "|".join(NAMES[name] for name in names) + "|", "|---|" + "---:|" * len(names)]
    rows = [
        (f"{kind} stream of {size:,} deltas, µs each", f"of {size} {kind} sync")
        for kind in ("text", "reasoning", "tools")
        for size in GROWTH
    ]
    rows += [
        (f"request of {size:,} messages, ms", f"growing long {size}") for size in (40, 400, 4000)
    ]
    rows += [(f"one of {size:,} users, µs", f"alive {size}") for size in (1_000, 10_000, 100_000)]
    rows += [
        (f"import, {what}, ms", f"import {what}")
        for what in ("import langchain_openrouter", "login")
    ]
    for label, metric in rows:
        found = [medians[name].get(metric) for name in names]
        if any(value is not None for value in found):
            cells = ["" if value is None else number(value) for value in found]
            lines.append(f"|{label}|" + "|".join(cells) + "|")
    return lines


# Suffix of the file -> matplotlib's style, and colors of its own; "ours" is a line.
THEMES = {
    "": (
        "default",
        {
            "ours": "#2c7a4b",
            "floor": "#9aa5b1",
            "openai": "#e08e0b",
            "official": "#c0392b",
            "pydantic-ai": "#8e44ad",
        },
    ),
    "-dark": (
        "dark_background",
        {
            "ours": "#5fc98a",
            "floor": "#8d98a5",
            "openai": "#eda93b",
            "official": "#e8695c",
            "pydantic-ai": "#b481d6",
        },
    ),
}


def plot(results, path):
    """Draw how many times this package's cost each peer's is: for light pages and for dark ones.

    `results-dark.png`, beside `results.png`, has no background: each dark page has its own.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    for suffix, (style, colors) in THEMES.items():
        with plt.style.context(style):
            figure = draw(plt, results, colors)
            figure.savefig(path.with_stem(path.stem + suffix), transparent=bool(suffix))
            plt.close(figure)


def draw(plt, results, colors):
    """Return the figure."""
    medians = results["medians"]
    names = [name for name in NAMES if name in medians and name != "ours"]
    figure, axes = plt.subplots(figsize=(10, 4.5), dpi=120)
    width = 0.8 / max(1, len(names))

    for place, name in enumerate(names):
        ratios = [ratio_of(metric, name, medians) for metric in DRAWN]
        places = [spot + place * width - 0.4 + width / 2 for spot in range(len(DRAWN))]
        bars = axes.bar(
            places,
            [ratio or math.nan for ratio in ratios],
            width,
            color=colors[name],
            label=NAMES[name],
        )
        axes.bar_label(bars, [times(ratio) for ratio in ratios], fontsize=6.5)

    axes.axhline(1, color=colors["ours"], linewidth=1.5, label="this package")
    axes.set_yscale("log")
    axes.set_xticks(range(len(DRAWN)), DRAWN.values(), fontsize=8)
    axes.set_ylabel("times this package's cost")
    axes.set_title(f"{results['date']}, {results['machine']}", fontsize=8)
    axes.legend(fontsize=8, ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure
