# The commands of this project. A fresh machine needs python3 (3.11 to 3.13) and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := uv==0.13.9
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV_PIP := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	--all-extras --group dev pyproject.toml -o requirements.lock

# Real processes are killed and awaited there. What fails while three of these tests share the machine is run again by itself,
# and counts if it fails again.
ON_WORKERS := $(BIN)/pytest tests/worker tests/acceptance tests/hostile/test_workers.py

.DEFAULT_GOAL := help
.PHONY: help setup run up test check lint format lock example-django example-flask clean docs bench bench-catalogue bench-recipes bench-autoscaling bench-setup growth chaos proofs newest-flower newest-django fuzz

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  make %-16s %s\n' "$$name" "$$text"; done

setup: $(READY) ## create .venv from requirements.lock, if that or pyproject.toml has changed

# uv installs in seconds; where it does not work, pip installs the same files by the same hashes. Both trust the certificates
# that the machine trusts.
export UV_SYSTEM_CERTS := true
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || { \
		echo "lepton_celery needs Python 3.11 to 3.13 and '$(PYTHON)' is $$($(PYTHON) --version 2>&1); try make PYTHON=python3.12" >&2; \
		exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if $(PIP) $(UV) && $(UV_PIP) --require-hashes -r requirements.lock && $(UV_PIP) --no-deps -e .; then :; else \
		echo "uv does not work here; pip installs the same packages, more slowly" >&2; \
		$(PIP) --require-hashes -r requirements.lock && $(PIP) --no-deps -e .; \
	fi
	@$(BIN)/python -m compileall -q lepton_celery workers settings # or each process compiles where bytecode cannot be written
	@$(BIN)/python -c "from lepton_celery.catalogue import load_kernels; load_kernels()" # compiles them once, not in each worker
	@touch $@

run: $(READY) ## count the galaxies in an 8192 x 8192 photograph on local workers, and compare with scikit-image
	@$(BIN)/lepton demo

up: $(READY) ## run a broker, workers and Flower on this machine, until Ctrl-C
	@$(BIN)/lepton up

test: lint ## check the style and the types, then run all tests
	$(BIN)/pytest tests/unit tests/exactness tests/server tests/hostile -n 2 --dist loadfile -m "not worker"
	LEPTON_KERNELS=0 $(BIN)/pytest tests/exactness -n 2 -q --again-without-kernels --ignore=tests/exactness/test_proofs.py # the proofs take too long
	$(ON_WORKERS) -n 3 --dist loadfile --durations=10 || { [ $$? -eq 1 ] && echo "once more, alone:" && $(ON_WORKERS) --lf --lfnf=none; }

proofs: $(READY) ## compare each function of the catalogue in ten times as many images as `make test`
	PROOF_TRIALS=10 $(BIN)/pytest tests/exactness/test_proofs.py -n 2 --timeout 1800

check: lint ## check the style and the types, then run the quick tests (1 min)
	$(BIN)/pytest tests/unit -m "not slow" -n 2 -q

lint: $(READY) ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## fix the style with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

example-django: $(READY) ## run the Django example
	@$(BIN)/python examples/django_app/run.py

example-flask: $(READY) ## run the Flask example
	@$(BIN)/python examples/flask_app/run.py

bench: bench-setup ## compare with other systems; writes docs/benchmarks.md (10 min)
	@.venv-bench/bin/python -m benchmarks
	@.venv-bench/bin/python -m benchmarks.memory

bench-catalogue: $(READY) ## compare every function with scikit-image; writes docs/benchmarks-catalogue.md (20 min)
	@$(BIN)/python -m benchmarks.catalogue

bench-recipes: bench-setup ## time the recipes beside scikit-image and Dask; writes docs/recipes.md (10 min)
	@.venv-bench/bin/python -m benchmarks.recipes --large

growth: bench-setup ## measure how time and memory grow; simulate 10,000 workers; writes docs/benchmarks.md (15 min)
	@.venv-bench/bin/python -m benchmarks.growth
	@.venv-bench/bin/python -m benchmarks.simulation

bench-autoscaling: $(READY) ## compare the autoscaler with others in simulations; writes docs/autoscaling.md (11 min)
	@$(BIN)/python -m benchmarks.autoscaling

bench-setup:
	@$(MAKE) --no-print-directory VENV=.venv-bench setup
	@.venv-bench/bin/uv pip install --quiet --python .venv-bench/bin/python --group bench

chaos: $(READY) ## inject faults while jobs run, then compare pixels (5 min; SEED=1)
	@$(BIN)/python -m tests.chaos --seconds 300 --seed $(or $(SEED),1)

newest-django: $(READY) ## run the tests of the app for Django on Django 6.0, and with PostgreSQL (2 min; DJANGO=6.0 PYTHON=3.12)
	@.ci/newest-django

newest-flower: $(READY) ## run the tests of Flower's pages on its newest release, if that is not the locked one
	@.ci/newest-flower

fuzz: ## hostile inputs in great numbers: from many seeds, then guided by coverage, with Atheris (20 min)
	@$(MAKE) --no-print-directory VENV=.venv-fuzz setup
	@.venv-fuzz/bin/uv pip install --quiet --python .venv-fuzz/bin/python --group fuzz
	FUZZ_SEEDS=60 FUZZ_EXAMPLES=3000 .venv-fuzz/bin/pytest tests/hostile -n 2 -q -m "not worker"
	.venv-fuzz/bin/python -m tests.hostile.guided --seconds 60

docs: $(READY) ## generate docs/catalogue.md
	@$(BIN)/lepton operations --markdown > docs/catalogue.md

lock: $(READY) ## resolve requirements.lock from pyproject.toml
	$(BIN)/$(LOCK)

clean: ## remove .venv, caches and what the demo wrote
	rm -rf $(VENV) .lepton .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist examples/output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
