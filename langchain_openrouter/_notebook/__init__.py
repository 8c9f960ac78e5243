"""The IPython extension: `%load_ext langchain_openrouter`."""
