# finebayes: everything runs from .venv, which `make setup` builds once from requirements.lock.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
STUDY ?= other-words
PRESET ?= demo
JOBS ?= 2
REAL := build/real-model

.DEFAULT_GOAL := help
.PHONY: help setup demo smoke real-model test pytest test-slow cluster mutants lint format bench accelerator notebooks lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## build .venv, once, from the pinned versions
	@:

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "finebayes needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo missing); try: make setup PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV): the first time, this fetches about 300 MB."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)  ## run the headline study: scorecard, figure and report
	@$(BIN)/finebayes run $(STUDY) --preset $(PRESET)

smoke: $(STAMP)  ## the same study, made tiny
	@$(BIN)/finebayes run $(STUDY) --preset smoke

real-model: $(STAMP)  ## score theories on a language model from a package (fetches 6 MB, once)
	@mkdir -p $(REAL) && test -d $(REAL)/textgenrnn-2.0.0 || { \
		$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest $(REAL) textgenrnn==2.0.0 && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(REAL)/packages h5py && \
		tar -xzf $(REAL)/textgenrnn-2.0.0.tar.gz -C $(REAL); }
	@PYTHONPATH=$(REAL)/packages $(BIN)/python -m examples.real_model $(REAL)/textgenrnn-2.0.0/textgenrnn results/real-model

# Types are checked while the tests run; a failure of either is one of both, at the end.
test: $(STAMP)  ## lint, type check and test
	@$(MAKE) --no-print-directory --jobs=2 lint pytest || { \
		echo "make test has failed; what lint refuses stands among the lines of the tests" >&2; exit 1; }

pytest: $(STAMP)
	@$(BIN)/python -m pytest -q -n $(JOBS)

test-slow: $(STAMP)  ## the heavier checks: more statistics, more studies in smoke
	@$(BIN)/python -m pytest -q -n $(JOBS) -m slow

cluster: $(STAMP)  ## arrays of jobs on a real SLURM of one node (takes slurm-wlm and munge, and root)
	@$(BIN)/python -m pytest -q -rs -m slow tests/cluster

mutants: $(STAMP)  ## change the scoring code in hundreds of ways, and see whether a test fails each time (TRY="--every 5 rows.py")
	@$(BIN)/python tests/mutants.py $(TRY)

lint: $(STAMP)  ## style, import rules and types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "Some files are not formatted; run: make format" >&2; exit 1; }
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/pyright

format: $(STAMP)  ## format and sort imports in place
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

bench: $(STAMP)  ## speed, against roofline and against peers
	@$(BIN)/python -m benchmarks

accelerator: $(STAMP)  ## doctor, benchmark and a smoke study on this machine's devices, in one JSON (SIZES="--chains 16 --networks 4")
	@$(BIN)/python -m benchmarks._accelerator_report --out build/accelerator.json $(SIZES)

notebooks: $(STAMP)  ## docs/notebooks/*.ipynb, executed (takes jupytext, from a throwaway environment)
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(BIN)/python -m venv "$$scratch" && \
	"$$scratch/bin/python" -m pip install --quiet --disable-pip-version-check jupytext nbconvert ipykernel ipywidgets && \
	packages=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	cd docs/notebooks && \
	PYTHONPATH="$(CURDIR):$$packages" "$$scratch/bin/jupytext" --quiet --to ipynb --execute --run-path "$(CURDIR)" *.py

# A fork by Python version, as jax 0.10.1 is the last sound one for 3.11; what is locked stays, but for UPGRADE.
lock:  ## resolve requirements.lock (takes uv); UPGRADE="jax flax" are the packages that may change
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	$(PYTHON) -m venv "$$scratch" && \
	"$$scratch/bin/python" -m pip install --quiet --disable-pip-version-check uv && \
	"$$scratch/bin/uv" pip compile --quiet --universal --python-version 3.11 --fork-strategy requires-python \
		$(addprefix --upgrade-package ,$(UPGRADE)) \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--extra dev pyproject.toml --output-file requirements.lock >/dev/null && \
	! grep -n '://' requirements.lock

clean:  ## remove .venv and caches, but not results
	@rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
