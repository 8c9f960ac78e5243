"""Sphinx: a site of Markdown pages and of the docstrings, built without a network."""

project = "langchain-openrouter-oauth"
html_title = "OpenRouter for LangChain"
copyright = "the authors of langchain-openrouter-oauth"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]
