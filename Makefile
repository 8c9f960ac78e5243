# Every target works on a fresh machine: the first one run makes .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint format record profiles notebooks bench soak clean

# On the emulator; with OPENROUTER_API_KEY set, live.
demo: $(STAMP)
	@$(BIN)/python -m langchain_openrouter demo

test: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/check_prose.py

# Cassettes anew: against the emulator, or with OPENROUTER_API_KEY=... against the live service.
record: $(STAMP)
	$(BIN)/python -m pytest tests/chat_models/test_recorded.py tests/chat_models/test_standard_recorded.py tests/test_embeddings.py --openrouter-record=all

# What models can do, from the live list, or from a saved one: make profiles FROM=models.json
profiles: $(STAMP)
	$(BIN)/python scripts/profiles.py $(FROM)

# The notebooks anew: recorded against the emulator, their outputs from a replay.
notebooks: $(STAMP)
	$(BIN)/python -m tests.support.notebooks

# This package beside its peers, each in an environment of its own: some 15 minutes.
bench: $(STAMP)
	$(BIN)/python benchmarks/run.py $(ARGS)

# A hundred users at once for ten minutes: memory, connections, tasks and threads stay flat.
soak: $(STAMP)
	$(BIN)/python benchmarks/soak.py $(ARGS)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[agents,cli,keyring,testing,web]" --group dev
	touch $@

clean:
	rm -rf $(VENV) .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
