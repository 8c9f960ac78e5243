"""Arguments of an incomplete tool call, in a form that core does not complete.

Core completes the JSON of arguments whenever it makes an `AIMessageChunk`, as when one is loaded
from a checkpoint: the text of an incomplete call would load as a valid call. As a JSON string it is
no object, so that it loads as an invalid call each time.
"""

from __future__ import annotations

import json

_PREFIX = "incomplete arguments: "
_START = f'"{_PREFIX}'


def quote_incomplete(text: str) -> str:
    """Return the text of incomplete arguments as a JSON string; the same if it is one already."""
    return text if text.startswith(_START) else json.dumps(_PREFIX + text, ensure_ascii=False)


def unquote_incomplete(text: str) -> str:
    """Return the text that `quote_incomplete` was given; any other text unchanged."""
    if not text.startswith(_START):
        return text
    try:
        return str(json.loads(text)).removeprefix(_PREFIX)
    except ValueError:
        return text
