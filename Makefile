# Every target works on a fresh machine: the first one run makes .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RAY_STAMP := $(VENV)/.ray
DOCS_STAMP := $(VENV)/.docs
WORKERS ?= 2
LOWEST := .lowest
# Deep agents, notebooks and the drawing of benchmarks need newer versions of what is at its lowest.
LOWEST_TESTS := -k "not deep" --ignore tests/test_benchmarks.py --ignore tests/notebooks
EXTRAS := agents,batch,cli,keyring,notebook,testing,web

.PHONY: demo test test-ray test-lowest lint types docs dist format record profiles notebooks jupyter bench bench-batch bench-ray soak clean

# On the emulator; with OPENROUTER_API_KEY set, live.
demo: $(STAMP)
	@$(BIN)/python -m langchain_openrouter demo

# In two processes; make test WORKERS=0 runs in one. For one test: .venv/bin/python -m pytest -k name
# The bytecode is for the processes that tests start, where PYTHONDONTWRITEBYTECODE is set.
test: $(STAMP)
	@$(BIN)/python -m compileall -q langchain_openrouter
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not ray"

# On a cluster of two nodes on this machine; installs Ray, which is large, the first time.
test-ray: $(RAY_STAMP)
	$(BIN)/python -m pytest -m ray tests/batch/test_ray.py tests/docs/test_fences.py

# With the oldest versions that pyproject.toml allows, in an environment of its own: weekly, and
# before a release. What serves only the tests is as new as those versions let it be.
test-lowest: $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST) --resolution lowest-direct --editable ".[$(EXTRAS)]"
	$(BIN)/uv pip freeze --quiet --python $(LOWEST) --exclude-editable | grep -v ^pytest== > $(LOWEST)/lowest.txt
	$(BIN)/uv pip install --quiet --python $(LOWEST) --constraint $(LOWEST)/lowest.txt --group test
	$(LOWEST)/bin/python -m pytest -m "not slow" $(LOWEST_TESTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/check_prose.py

# The documentation, in docs/_build/index.html; a warning, such as a link that leads nowhere, is an error.
docs: $(DOCS_STAMP)
	$(BIN)/python -m sphinx --fail-on-warning --nitpicky --keep-going --fresh-env --quiet docs docs/_build

# The wheel and the sdist, checked for an index.
dist: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents --package langchain_openrouter dist/*.whl
	$(BIN)/python scripts/check_dist.py dist

# The README in pyright's strict mode, which has an environment of its own and brings Node along.
types: $(STAMP)
	test -x .bench/pyright/bin/pyright || $(PYTHON) -m venv .bench/pyright
	.bench/pyright/bin/python -m pip install --quiet --disable-pip-version-check pyright
	$(BIN)/python scripts/check_readme.py .bench/pyright/bin/pyright

# Cassettes anew: against the emulator, or with OPENROUTER_API_KEY=... against the live service.
record: $(STAMP)
	$(BIN)/python -m pytest tests/chat_models/test_recorded.py tests/chat_models/test_standard_recorded.py tests/test_embeddings.py tests/accounts/test_recorded.py --openrouter-record=all

# What models can do, from the live list, or from a saved one: make profiles FROM="models-2026-11-10.json ..."
profiles: $(STAMP)
	$(BIN)/python scripts/profiles.py $(FROM)

# The notebooks in JupyterLab: on the emulator; with OPENROUTER_API_KEY set, live. ARGS go to JupyterLab.
jupyter: $(STAMP)
	@$(BIN)/python scripts/jupyter.py $(ARGS)

# The notebooks anew: recorded against the emulator, their outputs from a replay.
notebooks: $(STAMP)
	$(BIN)/python -m tests.support.notebooks

# This package beside its peers, each in an environment of its own: some 15 minutes.
bench: $(STAMP)
	$(BIN)/python benchmarks/run.py $(ARGS)

# Batches beside LangChain's and beside bare httpx2, and their memory by size: some 30 minutes.
bench-batch: $(STAMP)
	$(BIN)/python benchmarks/batch.py $(ARGS)

# Batches on Ray's workers beside those on this machine, on the same rows: a few minutes.
bench-ray: $(RAY_STAMP)
	$(BIN)/python benchmarks/ray_batch.py $(ARGS)

# A hundred users at once for ten minutes: memory, connections, tasks and threads stay flat.
soak: $(STAMP)
	$(BIN)/python benchmarks/soak.py $(ARGS)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.13"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable ".[$(EXTRAS)]" --group dev
	touch $@

$(RAY_STAMP): $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable ".[ray]"
	touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group docs
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis dist docs/_build
