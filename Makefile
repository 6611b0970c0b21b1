# Every verb makes .venv if it is missing. PYTHON=... chooses the interpreter.
BIN := .venv/bin

.PHONY: help demo test test-all check format
help:
	@echo "make demo | test | test-all | check | format"

.venv/ready: requirements.lock setup.py
	@python=""; for p in $(PYTHON) python3.11 python3.10 python3 python; do \
	  case "$$($$p -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" in \
	    3.10|3.11) python=$$p; break;; esac; done; \
	if [ -z "$$python" ]; then echo "s2bnn_tf needs Python 3.10 or 3.11: install one, or name it by PYTHON=/path/to/python."; exit 1; fi; \
	$$python -m venv .venv && $(BIN)/pip install -q -r requirements.lock && $(BIN)/pip install -q --no-deps --no-build-isolation -e . && touch $@

demo: .venv/ready
	$(BIN)/s2bnn demo --output-dir runs/demo

test: .venv/ready
	$(BIN)/python -m pytest -q -m "not slow"

test-all: .venv/ready
	$(BIN)/python -m pytest -q

check: .venv/ready
	$(BIN)/ruff check s2bnn_tf tests && $(BIN)/mypy s2bnn_tf

format: .venv/ready
	$(BIN)/ruff format s2bnn_tf tests
