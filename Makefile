# Everything from nothing: `make demo` and `make test` need Python and nothing else.
PYTHON ?= python3
# The torch build to install, such as TORCH="torch==2.13.0" or TORCH="torch --index-url https://download.pytorch.org/whl/cpu".
TORCH ?= torch
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test gpu check clean

demo: $(VENV)/.demo
	$(BIN)/steer demo --out demo.png

# Two processes of one thread each: a file's tests stay together, since they share what they have set up, and the long
# ones of ComfyUI begin early, where by their number they would come last.
test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# On a bare machine with a CUDA card, about ten minutes: the tests that need one, with what those that passed measured,
# what a probe costs there, and a few pictures by every way.
gpu: $(VENV)/.test
	$(BIN)/python -m pytest -m gpu -rsP tests/gpu
	$(BIN)/python -m benchmarks.cost --plot cost.png
	$(BIN)/python -m benchmarks.accuracy_vs_cost --device cuda --quick

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What the demo needs and no more; then what the tests need beside it.
$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(TORCH)
	$(BIN)/pip install --editable ".[demo]"
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/pip install --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV) demo.png cost.png
