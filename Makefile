# Every target sets up what it needs from Python 3.11+, pip and make; `make help` lists them.
# The tools live in .tools (uv) and .venv (everything else); stamp files make a second run cheap.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python that is recent enough; `make PYTHON=/path/to/python test` chooses another.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11) or print(sys.executable))' 2>/dev/null && break; done)

BIN := .venv/bin
UV := .tools/bin/uv
INSTALL := $(UV) pip install --quiet --python .venv
UNREACHED := echo 'the packages could not be installed, see above. uv reads no pip.conf: where that names a mirror, set UV_DEFAULT_INDEX; certificates of a proxy, SSL_CERT_FILE or UV_SYSTEM_CERTS=1' >&2; exit 1
PYTEST_FLAGS ?=
BENCH_FLAGS ?=
MUTMUT_FLAGS ?=

export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export UV_PYTHON_DOWNLOADS := never

##@ Try it

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: .venv/demo.stamp ## underwrite 68 real PDF files: fail, repair, resume
	$(BIN)/python docs/examples/underwriting/run.py

##@ Check it

.PHONY: check
check: lint types layers ## all that needs no running code: about ten seconds (make -k check: do not stop early)

.PHONY: lint
lint: .venv/tests.stamp ## format and lint, by ruff
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet

.PHONY: types mypy pyright public
types: mypy pyright public ## mypy strict, pyright strict, and a known type for every public name
mypy: .venv/docs.stamp .venv/bench.stamp
	$(BIN)/mypy
pyright: .venv/docs.stamp .venv/bench.stamp
	$(BIN)/pyright
public: .venv/tests.stamp
	$(BIN)/python tests/acceptance/verify_types.py .venv pipeline runners

.PHONY: layers
layers: .venv/tests.stamp ## who may import whom
	$(BIN)/lint-imports --no-logo

.PHONY: format
format: .venv/tests.stamp ## put code, imports and the list of rooms in their format
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format
	$(BIN)/python docs/explanation/rooms.py

.PHONY: unit
unit: .venv/tests.stamp ## pytest with the doctests, nothing else
	$(BIN)/pytest $(PYTEST_FLAGS)

.PHONY: test
test: check stubs wheel consumer docs demo unit ## everything CI runs

.PHONY: stubs
stubs: .venv/tests.stamp ## hold typings/ against the libraries they describe
	MYPYPATH=typings $(BIN)/stubtest --concise --ignore-missing-stub toolz

.PHONY: wheel
wheel: .venv/tests.stamp ## build the wheel and use it where nothing else is installed
	rm -rf .build/dist .build/wheel
	$(BIN)/hatchling build -t wheel -d .build/dist
	$(UV) venv --quiet --python $(BIN)/python .build/wheel
	$(UV) pip install --quiet --python .build/wheel --constraint tests/requirements.txt .build/dist/*.whl
	.build/wheel/bin/python -I -W error tests/acceptance/installed_wheel.py .build/dist/*.whl
	$(UV) pip install --quiet --python .build/wheel --constraint tests/requirements.txt hypothesis pytest
	$(BIN)/python tests/acceptance/verify_types.py .build/wheel pipeline runners

.PHONY: consumer
consumer: wheel ## mypy, pyright and basedpyright on code that uses the wheel, for Python 3.11 to 3.14
	$(BIN)/python tests/acceptance/consumer_types.py .build/wheel .build/consumer tests/typing/accepted.py tests/typing/rejected.py

.PHONY: test-all-pythons
test-all-pythons: .tools/bin/uv ## the tests on every Python from 3.11 that is here
	@sh .ci/all-pythons

.PHONY: campaign
campaign: .venv/tests.stamp ## the long tier: kills, crashes and schedules by the thousand
	STEPSLICE_HYPOTHESIS_PROFILE=campaign $(BIN)/pytest -m campaign --timeout 0 $(PYTEST_FLAGS)

.PHONY: mutants
mutants: .venv/mutants.stamp ## break the core in thousands of places: which changes do its tests not notice?
	PATH="$(CURDIR)/$(BIN):$$PATH" STEPSLICE_HYPOTHESIS_PROFILE=mutants $(BIN)/mutmut run $(MUTMUT_FLAGS) $(MUTANTS)
	$(BIN)/python tests/mutants/score.py mutants

.PHONY: bench
bench: .venv/bench.stamp ## ratios against the contenders
	$(BIN)/python -m tests.benchmarks

.PHONY: bench-durable
bench-durable: .build/durable.stamp ## what remembering costs, beside DBOS, Prefect, LangGraph, diskcache and joblib: two minutes
	.build/durable/bin/python -m tests.benchmarks.durable

.PHONY: bench-runners
bench-runners: .venv/bench.stamp ## every runner against its contenders: about half an hour (BENCH_FLAGS=--help chooses)
	$(BIN)/python -m tests.benchmarks.runners $(BENCH_FLAGS)

##@ Build it

.PHONY: docs
docs: .venv/docs.stamp ## the documentation into .build/site; a broken link fails
	$(BIN)/zensical build --clean --strict

.PHONY: lock
lock: .tools/bin/uv ## choose versions anew and write the hash-pinned requirement files
	@sh .ci/lock

.PHONY: clean
clean: ## remove what was built; the next target sets up anew
	rm -rf .build .cache .venv .tools mutants .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# ---- set-up --------------------------------------------------------------------------------------

# --target needs no ensurepip, which Debian's python3 leaves out.
.tools/bin/uv: .ci/uv.txt
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is missing: install it (Debian: apt-get install python3 python3-pip), or name one: make PYTHON=/path/to/python ...' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo '$(PYTHON) is not Python 3.11 or newer: name one that is: make PYTHON=/path/to/python ...' >&2; exit 1; }
	@"$(PYTHON)" -m pip --version >/dev/null 2>&1 || { echo 'pip is missing for $(PYTHON): run "$(PYTHON) -m ensurepip" (Debian: apt-get install python3-pip)' >&2; exit 1; }
	@echo 'installing uv into .tools, with $(PYTHON)'
	@"$(PYTHON)" -m pip install -qq --disable-pip-version-check --root-user-action ignore --target .tools --upgrade --require-hashes -r .ci/uv.txt || { echo 'pip could not install uv: it has to reach a package index, with PIP_INDEX_URL for a mirror and PIP_CERT for the certificates of a proxy' >&2; exit 1; }
	@touch $@

$(BIN)/python: | .tools/bin/uv
	$(UV) venv --quiet --clear --python "$(PYTHON)" .venv

.venv/demo.stamp: docs/examples/requirements.txt pyproject.toml | $(BIN)/python
.venv/tests.stamp: tests/requirements.txt pyproject.toml | $(BIN)/python
.venv/bench.stamp: tests/benchmarks/requirements.txt | .venv/tests.stamp
.venv/mutants.stamp: tests/mutants/requirements.txt | .venv/tests.stamp
.venv/docs.stamp: docs/requirements.txt | .venv/tests.stamp

.venv/%.stamp:
	@echo 'installing what $< locks'
	@$(INSTALL) --require-hashes -r $< || { $(UNREACHED); }
	@$(INSTALL) --no-deps --no-build-isolation --editable . || { $(UNREACHED); }
	@touch $@

.build/durable.stamp: tests/benchmarks/durable/requirements.txt | .tools/bin/uv # apart: a lot that nothing else needs
	$(UV) venv --quiet --clear --python "$(PYTHON)" .build/durable
	$(UV) pip install --quiet --python .build/durable --require-hashes -r $<
	$(UV) pip install --quiet --python .build/durable --no-deps --no-build-isolation --editable .
	@touch $@
