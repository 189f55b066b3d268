# Everything from nothing: `make demo` and `make test` need Python and nothing else.
PYTHON ?= python3
# The torch build to install, such as TORCH="torch==2.13.0" or TORCH="torch --index-url https://download.pytorch.org/whl/cpu".
TORCH ?= torch
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check clean

demo: $(VENV)/.installed
	$(BIN)/steer demo --out demo.png

test: $(VENV)/.installed
	$(BIN)/python -m pytest

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(TORCH)
	$(BIN)/pip install --editable ".[cli,test]"
	touch $@

clean:
	rm -rf $(VENV) demo.png
