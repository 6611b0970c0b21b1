# Every verb first makes .venv from requirements.lock, if it is missing or the lock has changed.
# PYTHON=/path/to/python3.11 chooses the interpreter.

BIN := .venv/bin
STAMP := .venv/complete-by-make
TORCH := .venv/torch-by-make
CODE := s2bnn_tf tests benchmarks docs/images setup.py cli.py

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format bench docs

help:  ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(STAMP)  ## the whole chain on embedded data, in minutes: runs/demo/report.html
	@$(BIN)/s2bnn demo --output-dir runs/demo

test: $(STAMP)  ## the fast tests
	@$(BIN)/python -m pytest -m "not slow"

test-all: $(TORCH)  ## every test, also those that compare with PyTorch
	@$(BIN)/python -m pytest

check: $(STAMP)  ## lint, format, types, import direction
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_imports.py

format: $(STAMP)  ## put the code in order
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

bench: $(TORCH)  ## every published claim, measured again
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

docs: $(STAMP)  ## the documentation site, in site/
	@$(BIN)/mkdocs build --strict

$(TORCH): $(STAMP)
	@$(BIN)/pip install --progress-bar off torch==2.13.0 safetensors==0.8.0
	@touch $@

# Each candidate is run and asked: a name in PATH may be a shim that fails, or lack venv.
# The stamp comes last, so an interrupted build starts anew; a .venv of somebody else's is kept.
$(STAMP): requirements.lock
	@for python in $(or $(PYTHON),python3.11 python3.10 python3 python); do \
	  found=$$("$$python" -c 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); \
	  case "$$found" in 3.10|3.11) break;; *) found=;; esac; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "s2bnn_tf needs Python 3.10 or 3.11 with its venv module: install one, or name it with make PYTHON=/path/to/python3.11." >&2; exit 1; \
	fi; \
	if [ -e .venv ] && [ ! -e .venv/made-by-make ]; then \
	  echo "make did not make this .venv and leaves it alone: remove it, or move it away." >&2; exit 1; \
	fi; \
	echo "Making .venv with Python $$found from requirements.lock: 2.4 GB, some minutes." >&2; \
	rm -rf .venv && mkdir .venv && touch .venv/made-by-make && "$$python" -m venv .venv
	@$(BIN)/pip install --quiet $$(grep -E '^(setuptools|wheel)==' requirements.lock)
	@$(BIN)/pip install --progress-bar off --no-build-isolation --use-pep517 -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@$(BIN)/pip check
	@touch $@
