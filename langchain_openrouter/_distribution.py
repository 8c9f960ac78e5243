"""The version of this distribution.

Not in a module named `_version`: LangChain's own package has one in the same folder.
"""

from __future__ import annotations

from importlib.metadata import version

VERSION = version("langchain-openrouter-oauth")
