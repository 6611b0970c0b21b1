# Every target first creates .venv if it is missing or its lock has changed. There are two tested
# sets: requirements.lock, TensorFlow 2.15 for Python 3.10 and 3.11, and requirements-tf220.lock,
# TensorFlow 2.20 for Python 3.12. .ci/find-python finds a Python, 3.12 where there is one;
# PYTHON=/path/to/python chooses one, and so the set. A .venv keeps its own. The times below are for
# two cores.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/complete-by-make
TORCH := $(VENV)/torch-by-make
ZOO := $(VENV)/zoo-by-make
RUNTIME := $(VENV)/runtime-by-make
WHEEL := runtime/dist/built-by-make
WORKERS ?= 2
TESTS := not slow
# One thread per worker: the small networks of the tests gain nothing from more.
PYTEST := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
  $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile
CPP = $$(find runtime s2bnn_tf/export s2bnn_tf/layers benchmarks -name build -prune -o \
  -name '*.cc' -print -o -name '*.[ch]' -print)

.DEFAULT_GOAL := help
.PHONY: help .venv demo runtime zoo test test-all test-extras check format bench docs release \
  replaced

help:  ## list the targets
	@sed -n 's/^\([a-z.-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 10

.venv: $(STAMP)  ## create the environment and nothing else (a few minutes)

demo: $(STAMP) $(RUNTIME)  ## fit an encoder to photographs that the packages ship (5 minutes)
	@$(BIN)/s2bnn demo --output-dir runs/demo

runtime: $(RUNTIME)  ## build and install the runtime for this machine (3 minutes)

zoo: $(ZOO)  ## install Larq Zoo and TensorFlow Datasets where Python is 3.12 (a minute)

test: $(STAMP) $(ZOO) $(RUNTIME)  ## run the fast tests (9 to 13 minutes)
	@$(PYTEST) -m "$(TESTS)"

test-all: $(TORCH) $(RUNTIME)  ## run every test, including the comparisons with PyTorch (an hour)
	@$(PYTEST)

test-extras: $(STAMP) $(RUNTIME)  ## run the tests of the extras and the notebooks (5 minutes)
	@.ci/extras $(BIN)/python

check: $(STAMP)  ## check lint, format, types, line length and import directions (a minute)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/clang-format --style=file:runtime/.clang-format --dry-run --Werror $(CPP)
	@$(BIN)/python -m pytest -q tests/test_imports.py tests/test_line_length.py

format: $(STAMP)  ## fix what ruff can fix and format all code (seconds)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/clang-format --style=file:runtime/.clang-format -i $(CPP)

bench: $(TORCH)  ## measure every published claim again (days)
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

docs: $(STAMP)  ## build the documentation site in site/ (a minute)
	@$(BIN)/mkdocs build --strict

release: $(STAMP)  ## build and check both packages with their hashes in dist/ (6 minutes)
	@.ci/release $(BIN)/python dist

# The comparisons with PyTorch are for the older set alone. Later versions of transformers need a
# click that it does not have.
$(TORCH): $(STAMP) Makefile
	@! grep -q tf220 $(VENV)/made-by-make || { echo "The comparisons with PyTorch need the older" \
	  "set: make .venv PYTHON=python3.11, and again." >&2; exit 1; }
	@$(BIN)/pip install --progress-bar off torch==2.13.0 safetensors==0.8.0 transformers==4.57.6
	@touch $@

# Larq Zoo demands a protobuf that TensorFlow 2.20 cannot use, and works with any. So its lock lists
# all that it needs, and pip looks for nothing else. The other set has it from the start.
$(ZOO): $(STAMP) requirements-zoo.lock
	@! grep -q tf220 $(VENV)/made-by-make || \
	  $(BIN)/pip install --progress-bar off --require-hashes --no-deps --no-build-isolation \
	  --use-pep517 -r requirements-zoo.lock
	@touch $@

# Zig, from PyPI, compiles the runtime for this machine. Without it all but the runtime works, and
# the next target that needs it tries again. The wheel is the same for every Python.
$(WHEEL): $(shell find runtime/src runtime/s2bnn_runtime -name '*.cc' -o -name '*.[ch]' -o \
  -name '*.py' 2> /dev/null) | $(STAMP)
	@echo "Building the runtime, once: a few minutes." >&2
	@log=$(VENV)/runtime.log; rm -f $@; \
	if runtime/tools/build_wheels.sh $(BIN)/python runtime/dist $$(uname -m) > $$log 2>&1; then \
	  touch $@; \
	else tail -n 3 $$log >&2; echo "The runtime could not be built." >&2; fi

$(RUNTIME): $(STAMP) $(WHEEL)
	@[ ! -e $(WHEEL) ] || { $(BIN)/pip install --quiet --no-deps --force-reinstall \
	  runtime/dist/*$$(uname -m).whl && touch $@; }

# The version of the environment, and that of PYTHON; where they differ, it is made again.
version_of = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null)
IS := $(call version_of,$(BIN)/python)
ifdef PYTHON
ifneq ($(IS),$(call version_of,"$(PYTHON)"))
$(STAMP): replaced
endif
endif

# The stamp comes last, so an interrupted build starts over. A .venv of somebody else is kept.
# Some packages are published as source only; what builds them comes from the lock too, hence the
# first step.
$(STAMP): $(if $(filter 3.12,$(IS)),requirements-tf220.lock,requirements.lock)
	@old=$$($(BIN)/python -c 'import sys; print(sys._base_executable)' 2> /dev/null); \
	found=$$(.ci/find-python "$(PYTHON)" "$$old") || exit 1; \
	python=$${found% *} version=$${found##* }; \
	if [ -e $(VENV) ] && [ ! -e $(VENV)/made-by-make ]; then \
	  echo "make did not create this $(VENV) and leaves it alone: remove it, or move it away." >&2; \
	  exit 1; \
	fi; \
	case $$version in 3.12) lock=requirements-tf220.lock;; *) lock=requirements.lock;; esac; \
	echo "Creating $(VENV) with Python $$version from $$lock: 2.4 GB, a few minutes." >&2; \
	rm -rf $(VENV) && mkdir $(VENV) && echo $$lock > $(VENV)/made-by-make && \
	"$$python" -m venv $(VENV)
	@sed -n '/^\(packaging\|setuptools\|wheel\)==/,/[^\]$$/p' $$(cat $(VENV)/made-by-make) \
	  > $(VENV)/build.lock
	@$(BIN)/pip install --quiet --require-hashes -r $(VENV)/build.lock
	@$(BIN)/pip install --progress-bar off --require-hashes --no-build-isolation --use-pep517 \
	  -r $$(cat $(VENV)/made-by-make)
	@# In this mode the package is also found from the folder that the clone, of its name, is in.
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e . \
	  --config-settings editable_mode=compat
	@$(BIN)/pip check
	@touch $@
