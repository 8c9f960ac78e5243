"""Where the package under test lies, however the folder of the checkout or of an sdist is named."""

from __future__ import annotations

import os
from pathlib import Path

import langchain_openrouter

PACKAGE = str(Path(langchain_openrouter.__file__).parent) + os.sep
