# Every target first creates .venv from requirements.lock if it is missing or the lock has changed.
# PYTHON=/path/to/python3.11 chooses the interpreter. The times below are for two cores.

BIN := .venv/bin
STAMP := .venv/complete-by-make
TORCH := .venv/torch-by-make
RUNTIME := .venv/runtime-by-make
WORKERS ?= 2
# One thread per worker: the small networks of the tests gain nothing from more.
PYTEST := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
  $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile
CPP = $$(find runtime -name build -prune -o -name '*.cc' -print -o -name '*.[ch]' -print)

.DEFAULT_GOAL := help
.PHONY: help demo runtime test test-all test-extras check format bench docs release

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(STAMP) $(RUNTIME)  ## run the whole chain on embedded data (5 minutes)
	@$(BIN)/s2bnn demo --output-dir runs/demo

runtime: $(RUNTIME)  ## build and install the runtime for this machine (3 minutes)

test: $(STAMP) $(RUNTIME)  ## run the fast tests (14 minutes)
	@$(PYTEST) -m "not slow"

test-all: $(TORCH) $(RUNTIME)  ## run every test, including the comparisons with PyTorch (an hour)
	@$(PYTEST)

test-extras: $(STAMP) $(RUNTIME)  ## run the tests of the extras and the notebooks (5 minutes)
	@.ci/extras $(BIN)/python

check: $(STAMP)  ## check lint, format, types, line length and import directions (a minute)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/clang-format --dry-run --Werror $(CPP)
	@$(BIN)/python -m pytest -q tests/test_imports.py tests/test_line_length.py

format: $(STAMP)  ## fix what ruff can fix and format all code (seconds)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/clang-format -i $(CPP)

bench: $(TORCH)  ## measure every published claim again (days)
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

docs: $(STAMP)  ## build the documentation site in site/ (a minute)
	@$(BIN)/mkdocs build --strict

release: $(STAMP)  ## build and check both packages with their hashes in dist/ (6 minutes)
	@.ci/release $(BIN)/python dist

$(TORCH): $(STAMP)
	@$(BIN)/pip install --progress-bar off torch==2.13.0 safetensors==0.8.0
	@touch $@

# Zig, from PyPI, compiles the runtime for this machine. Without it all but the runtime works, and
# the next target that needs it tries again.
$(RUNTIME): $(STAMP) $(shell find runtime/src runtime/s2bnn_runtime -name '*.cc' -o \
  -name '*.[ch]' -o -name '*.py' 2> /dev/null)
	@echo "Building the runtime, once: a few minutes." >&2
	@log=.venv/runtime.log; machine=$$(uname -m); \
	if runtime/tools/build_wheels.sh $(BIN)/python runtime/dist $$machine > $$log 2>&1 && \
	  $(BIN)/pip install --quiet --no-deps --force-reinstall runtime/dist/*$$machine.whl; then \
	  touch $@; \
	else tail -n 3 $$log >&2; echo "The runtime could not be built." >&2; fi

# Each candidate is run and asked: a name in PATH may be a shim that fails, or lack venv.
# The stamp comes last, so an interrupted build starts over. A .venv of somebody else is kept.
# promise is published as source only; what builds it comes from the lock too, hence the first step.
$(STAMP): requirements.lock
	@for python in $(or $(PYTHON),python3.11 python3.10 python3 python); do \
	  found=$$("$$python" -c 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])' \
	    2>/dev/null); \
	  case "$$found" in 3.10|3.11) break;; *) found=;; esac; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "s2bnn_tf needs Python 3.10 or 3.11 with its venv module:" \
	    "install one, or name it with make PYTHON=/path/to/python3.11." >&2; exit 1; \
	fi; \
	if [ -e .venv ] && [ ! -e .venv/made-by-make ]; then \
	  echo "make did not create this .venv and leaves it alone: remove it, or move it away." >&2; \
	  exit 1; \
	fi; \
	echo "Creating .venv with Python $$found from requirements.lock: 2.4 GB, a few minutes." >&2; \
	rm -rf .venv && mkdir .venv && touch .venv/made-by-make && "$$python" -m venv .venv
	@sed -n '/^\(packaging\|setuptools\|wheel\)==/,/[^\\]$$/p' requirements.lock > .venv/build.lock
	@$(BIN)/pip install --quiet --require-hashes -r .venv/build.lock
	@$(BIN)/pip install --progress-bar off --require-hashes --no-build-isolation --use-pep517 \
	  -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@$(BIN)/pip check
	@touch $@
