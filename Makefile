# `make help` lists the targets. Everything that is made lives in .venv, demo and dist; `make clean` removes it.

PYTHON ?= python3
ARGS ?=
# processes among which tests are shared; 0 for none, with which a debugger works
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
# for programs that look for others of their environment: meson, ninja, pycodestyle
WITH_PATH := PATH="$(CURDIR)/$(BIN):$$PATH"
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
SOURCES := pyproject.toml meson.build meson.options $(wildcard README.md LICENSE) \
  $(shell find src -type f \( -name '*.py' -o -name '*.py[xi]' -o -name '*.px[di]' -o -name '*.h' -o -name '*.in' \
  -o -name 'meson.build' -o -name 'py.typed' \))

CORE_TESTS := tests/kernels tests/genotypes/test_thinning.py tests/genotypes/test_matrix.py tests/genotypes/test_engine.py \
  tests/genotypes/test_imputation.py

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# what the caller's shell says about other projects' Pythons, tests and installs is not meant for this one
unexport PYTHONPATH PYTHONHOME PYTHONOPTIMIZE PYTHONWARNINGS PYTHONUSERBASE VIRTUAL_ENV
unexport PYTEST_ADDOPTS PYTEST_PLUGINS PYTEST_DISABLE_PLUGIN_AUTOLOAD
unexport PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV PIP_NO_BUILD_ISOLATION

# $(WAITING) COMMAND: run a command that prints nothing, and say every ten seconds how long it has taken
WAITING := sh -c '"$$@" & pid=$$!; trap "kill $$pid" INT TERM; started=$$(date +%s); \
  (while sleep 10 >/dev/null 2>&1 && kill -0 $$pid 2>/dev/null; do \
  echo "      $$(($$(date +%s) - started)) s ..."; done) & wait $$pid' waiting

.DELETE_ON_ERROR:
.PHONY: help demo test lint test-checked test-serial test-loaded torture bench tutorial docs options dist clean

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.package $(VENV)/.plot  ## Simulate a data set, analyse it, compare with the truth, draw the report
	@$(BIN)/lfmm2 demo --out demo/demo

test: $(VENV)/.package $(VENV)/.test  ## All tests on the installed package; ARGS="-k ridge" chooses some
	$(PYTEST) $(ARGS)

lint: $(VENV)/.package $(VENV)/.dev  ## ruff, mypy, stubtest and cython-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/stubtest lfmm2._core lfmm2.kernels._bgen lfmm2.kernels._calls lfmm2.kernels._gram lfmm2.kernels._gram_float32 lfmm2.kernels._impute lfmm2.kernels._ld lfmm2.kernels._missing lfmm2.kernels._numbers lfmm2.kernels._pack lfmm2.kernels._pairs lfmm2.kernels._pieces lfmm2.kernels._products lfmm2.kernels._symmetric lfmm2.kernels._vcf lfmm2.cli._interrupt
	$(WITH_PATH) $(BIN)/cython-lint src

test-checked: $(VENV)/checked/.installed $(VENV)/.test  ## Kernel tests with bounds checks in the kernels
	PYTHONPATH=$(VENV)/checked/package $(PYTEST) $(CORE_TESTS) $(ARGS)

test-serial: $(VENV)/serial/.installed $(VENV)/.test  ## Kernel and factor tests on a build without OpenMP
	PYTHONPATH=$(VENV)/serial/package $(PYTEST) $(CORE_TESTS) tests/model/test_factors.py $(ARGS)

test-loaded: $(VENV)/.package $(VENV)/.test  ## Tests that depend on the clock, 50 times beside 8 busy loops
	PYTHONPATH=tests $(BIN)/python -m torture.beside_load $(ARGS)

torture: $(VENV)/.package $(VENV)/.torture  ## Faults, kills, full disks, sanitizers, fuzzing: writes reliability.json
	PYTHONPATH=tests $(BIN)/python -m torture $(ARGS)

bench: $(VENV)/.package $(VENV)/.test  ## The programs in bench, one after the other
	@set -e; for program in $$(grep -l '__main__' bench/*.py); do \
	  echo "$(BIN)/python $$program"; $(BIN)/python "$$program" $(ARGS); done

tutorial: $(VENV)/.package $(VENV)/.test  ## Run docs/tutorial.md, renew its outputs and pictures; ARGS=--all for all outputs
	$(BIN)/python docs/tutorial/build.py --write $(ARGS)

docs: $(VENV)/.package $(VENV)/.docs  ## The documentation site, in .venv/site; warnings are errors
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet --doctree-dir $(VENV)/site-state \
	  docs $(VENV)/site
	@echo "$(CURDIR)/$(VENV)/site/index.html"

options: $(VENV)/.package  ## Renew docs/options.md from the tables of options
	$(BIN)/python docs/build_options.py

dist: $(VENV)/.dist  ## The sdist of the last commit, and a wheel built from it
	rm -rf dist
	$(BIN)/python -m build

clean:  ## Remove everything that was made
	rm -rf $(VENV) build dist demo .benchmarks .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp file says that a step is done, and is older than what must cause it again.

$(VENV)/.python:
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "make: $(PYTHON) is not installed; lfmm2 needs Python 3.11 or later: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $(PYTHON) is $$("$(PYTHON)" --version 2>&1); lfmm2 needs 3.11 or later: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@command -v "$${CC:-cc}" >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null || { \
	  echo "make: no C compiler; install gcc or clang, or name one with CC=" >&2; exit 1; }
	@echo "make: an environment in $(VENV) for what follows; 'make clean' removes it"
	@"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.build: pyproject.toml $(VENV)/.python
	@$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	  print(*p["build-system"]["requires"], *p["project"]["dependencies"], sep="\n")' >$(VENV)/requirements.txt
	@echo "make: download and install NumPy, SciPy, PyArrow, Cython and Meson, once (about 100 MB)"
	@$(WAITING) $(PIP) install --quiet --requirement $(VENV)/requirements.txt
	@touch $@

# $(call wheel,FLAVOUR,meson options): build .venv/FLAVOUR/*.whl; an earlier build's objects are used again
define wheel
	@rm -rf $(VENV)/$(1)/*.whl
	@echo "make: compile lfmm2; some minutes the first time, then only what has changed"
	@$(WITH_PATH) $(WAITING) $(PIP) wheel --quiet --no-deps --no-build-isolation \
	  --config-settings=build-dir=$(VENV)/$(1)/build $(2) --wheel-dir $(VENV)/$(1) .
endef

$(VENV)/.package: $(SOURCES) $(VENV)/.build
	$(call wheel,release)
	@$(PIP) install --quiet --no-deps --force-reinstall $(VENV)/release/*.whl
	@touch $@

# a package folder that stands before the installed package on the path, so that its dependencies serve all
$(VENV)/checked/.installed: $(SOURCES) $(VENV)/.build
	$(call wheel,checked,--config-settings=setup-args=-Dchecked=true)
	rm -rf $(VENV)/checked/package
	$(PIP) install --quiet --no-deps --target $(VENV)/checked/package $(VENV)/checked/*.whl
	@touch $@

$(VENV)/serial/.installed: $(SOURCES) $(VENV)/.build
	$(call wheel,serial,--config-settings=setup-args=-Dopenmp=disabled)
	rm -rf $(VENV)/serial/package
	$(PIP) install --quiet --no-deps --target $(VENV)/serial/package $(VENV)/serial/*.whl
	$(BIN)/python -c 'import sys; sys.path.insert(0, "$(VENV)/serial/package"); \
	  from lfmm2 import _core; sys.exit(_core.OPENMP)'
	@touch $@

$(VENV)/.plot $(VENV)/.docs $(VENV)/.test $(VENV)/.dev $(VENV)/.torture: \
  $(VENV)/.%: pyproject.toml $(VENV)/.build | $(VENV)/.package
	@echo "make: install what the extra '$*' of pyproject.toml names, once"
	@$(WAITING) $(PIP) install --quiet "$$(ls $(VENV)/release/*.whl)[$*]"
	@touch $@

$(VENV)/.dist: $(VENV)/.python
	$(PIP) install --quiet build
	@touch $@
