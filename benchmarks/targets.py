"""What this package has to reach, measured in the same run as its peers; and how costs grow."""

from __future__ import annotations

import math

LINEAR = 1.1  # an exponent up to which growth counts as linear


class Medians:
    """What was measured, by peer and metric; what was not is None in every result."""

    def __init__(self, medians):
        self.medians = medians

    def value(self, metric, peer="ours"):
        """Return a metric of a peer."""
        return self.medians.get(peer, {}).get(metric)

    def ratio(self, *metrics, peer="ours", to="floor"):
        """Return how many times another peer's a peer's is, the largest of several metrics."""
        pairs = [(self.value(metric, peer), self.value(metric, to)) for metric in metrics]
        found = [a / b for a, b in pairs if a is not None and b]
        return max(found) if len(found) == len(metrics) else None

    def growth(self, small, large):
        """Return how many times one metric another is."""
        a, b = self.value(small), self.value(large)
        return b / a if a and b is not None else None


def text_pieces(m):
    """Return the worst ratio of a text or reasoning piece, sync or async."""
    return m.ratio("text sync", "text async", "reasoning sync", "reasoning async")


# what, how it is found, the bound, and whether it is a lower one
TARGETS = [
    ("text and reasoning piece, of the floor, the worst of four", text_pieces, 1.15, "<="),
    (
        "tool-call piece, of the floor, the worst of two",
        lambda m: m.ratio("tools sync", "tools async"),
        1.3,
        "<=",
    ),
    ("pieces a second, 1 stream, of the floor", lambda m: m.ratio("1 at once rate"), 0.85, ">="),
    ("… 30 streams", lambda m: m.ratio("30 at once rate"), 0.8, ">="),
    ("… 300 streams", lambda m: m.ratio("300 at once rate"), 1.0, ">="),
    ("CPU of a paced piece, of the floor", lambda m: m.ratio("paced"), 1.25, "<="),
    (
        "… with the SDK's aiohttp client",
        lambda m: m.ratio("paced", peer="ours+aiohttp"),
        0.6,
        "<=",
    ),
    ("longest stall, 30 streams, of the floor", lambda m: m.ratio("30 at once stall"), 0.3, "<="),
    ("… 300 streams", lambda m: m.ratio("300 at once stall"), 0.5, "<="),
    ("memory of 100,000 pieces, MiB", lambda m: m.value("peak memory"), 3, "<="),
    (
        "a piece of 100,000, of a piece of 1,000",
        lambda m: m.growth("of 1000 text sync", "of 100000 text sync"),
        1.05,
        "<=",
    ),
    (
        "… of a piece of 10,000",
        lambda m: m.growth("of 10000 text sync", "of 100000 text sync"),
        1.05,
        "<=",
    ),
    ("CPU of a small call, of the floor", lambda m: m.ratio("small"), 1.75, "<="),
    ("time to the first piece, of the floor", lambda m: m.ratio("first"), 1.7, "<="),
    ("400 messages, 20 tools, of the floor", lambda m: m.ratio("long 400"), 2.8, "<="),
    (
        "… ChatOpenAI's, of this package's",
        lambda m: m.ratio("long 400", peer="openai", to="ours"),
        30,
        ">=",
    ),
    ("a new user's first call, of an own call", lambda m: m.value("newcomer ratio"), 1.1, "<="),
    ("one call in a new event loop, ms", lambda m: m.value("new loop"), 5, "<="),
    ("a call after a crowd of 300, of one before", lambda m: m.value("crowd ratio"), 1.1, "<="),
    ("… of threads", lambda m: m.value("threads ratio"), 1.1, "<="),
    (
        "import of the model, of ChatOpenAI's",
        lambda m: m.ratio("import the model", to="openai"),
        1.0,
        "<=",
    ),
    ("cassette replay, an exchange of 300, ms", lambda m: m.value("cassette 300"), 4, "<="),
]

# what, its metric, the sizes that are compared, the unit, whether the metric is of one item
GROWTH = [
    ("request of {:,} messages", "growing long {}", (400, 4_000), "ms", False),
    ("request of {:,} tools", "tools {}", (20, 200), "ms a tool", True),
    ("{:,} users alive, a user", "alive {}", (1_000, 100_000), "µs", True),
    ("{:,} users alive, a call", "alive call {}", (1_000, 100_000), "µs", True),
    ("{:,} keys in memory, a key", "keys {}", (1_000, 100_000), "µs", True),
    ("{:,} keys in files, a key", "key files {}", (100, 1_000), "µs", True),
    ("catalog of {:,} models, a model", "models {}", (100, 1_000), "µs", True),
    ("… cached", "models cached {}", (100, 1_000), "µs", True),
    ("cassette of {:,} exchanges, an exchange", "cassette {}", (100, 1_000), "ms", True),
    ("{:,} streams at once, a piece", "streams {}", (100, 1_000), "µs", True),
]


def number(value):
    """Return three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def target_table(medians):
    """Return the lines of the table of targets; what was not measured has no line."""
    m = Medians(medians)
    lines = ["|line|measured|target|reached|", "|---|---:|---:|---|"]
    for label, find, bound, sign in TARGETS:
        value = find(m)
        if value is not None:
            reached = value <= bound if sign == "<=" else value >= bound
            at = "≤" if sign == "<=" else "≥"
            lines.append(
                f"|{label}|{number(value)}|{at} {bound:g}|{'yes' if reached else '**no**'}|"
            )
    return lines


def exponent(small, large, sizes, *, is_of_item):
    """Return the power of the size with which the total cost grows: 1 is linear."""
    return math.log(large / small) / math.log(sizes[1] / sizes[0]) + (1 if is_of_item else 0)


def growth_table(medians):
    """Return the lines of the table of growth, one line each."""
    m = Medians(medians)
    lines = ["|line|from|to|exponent|superlinear|", "|---|---:|---:|---:|---|"]
    for label, metric, sizes, unit, is_of_item in GROWTH:
        small, large = (m.value(metric.format(size)) for size in sizes)
        if small and large:
            power = exponent(small, large, sizes, is_of_item=is_of_item)
            verdict = "no" if power <= LINEAR else "**yes**"
            first, last = (
                f"{number(value)} {unit} ({size:,})"
                for value, size in zip((small, large), sizes, strict=True)
            )
            lines.append(f"|{label.format(sizes[1])}|{first}|{last}|{power:.2f}|{verdict}|")
    return lines
