# Everything that a developer or a CI job runs. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
STEP := tools/step

# Two processes or more pay off; set WORKERS=0 to debug in one.
WORKERS ?= auto
MINUTES ?= 5
# Only these files have journeys (tests/conftest.py sees to it); to read all costs each process seconds.
JOURNEYS ?= $(shell grep -rl --include=test_*.py 'mark\.journey' tests)
# A file's tests stay together, since they share programs that run; tests/conftest.py says which files come first.
SPREAD = --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
SEEDS ?= 500
DEVICES ?= 5000
SECONDS ?= 300
ARGS ?=

MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start programs by the hundred, and without kept bytecode each compiles several hundred modules anew.
unexport PYTHONDONTWRITEBYTECODE

# Directories that hold Python now; tools refuse ones that do not.
TREES := $(strip $(foreach tree,src tests spec benchmarks tools examples,\
	$(if $(wildcard $(tree)/*.py $(tree)/*/*.py),$(tree))))
# The frameworks that the examples are for are not in .venv, so their types are not known there.
TYPED_TREES := $(filter-out examples,$(TREES))

# Modules that write files into the repository; each takes --check and then fails if a file is out of date.
GENERATORS := spec.generate spec.diagrams tools.plugins tools.dashboard tools.limits
module_exists = $(wildcard $(subst .,/,$(1)).py $(subst .,/,$(1))/__main__.py)

# The locks name every package, so pip resolves nothing: older ones would take a newer release for an extra
# such as coverage[toml], and then refuse it for want of a hash.
LOCKED := --require-hashes --no-deps

SETUP_STAMP := $(VENV)/.taskferry-setup
# Agent frameworks bring much, so they have an environment of their own.
EXAMPLES_VENV := .venv-examples
EXAMPLES_STAMP := $(EXAMPLES_VENV)/.taskferry-setup
SCHEMAS_VENV := .venv-schemas
SCHEMAS_STAMP := $(SCHEMAS_VENV)/.taskferry-setup
NEWER_VENV := .venv-newer
# What a newer Python has changed before: which frames an error holds, which addresses count as which, SQLite.
NEWER_TESTS ?= tests/transports tests/relay/test_links_freed.py tests/client/test_requests_freed.py \
	tests/daemon/test_wakers.py tests/demo/test_demo.py::test_demo_on_the_readme_tells_its_story_and_holds
# The specification's own checks in JavaScript run where node and npm are present.
NODE_LOCK := $(wildcard spec/package-lock.json)
NODE_STAMP := $(if $(NODE_LOCK),$(if $(shell command -v node && command -v npm),spec/node_modules/.taskferry-setup))

.DEFAULT_GOAL := help
.PHONY: help setup environments demo test test-newer test-journeys test-examples test-browser browser-setup images test-all test-integrations coverage check check-format check-lint check-types check-layers \
	check-generated format bench load fuzz fuzz-setup mutants schemas sim crash disk crowd flood lock clean

help: ## List these targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- Running ---------------------------------------------------------------------------------------------

setup: $(SETUP_STAMP) ## Create .venv and install the locked dependencies; quick when nothing changed
	@:

$(SETUP_STAMP): requirements/dev.lock pyproject.toml tools/make-venv
	@tools/make-venv "$(PYTHON)" "$(VENV)"
	@$(STEP) "install locked dependencies" $(RUN) -m pip install --quiet $(LOCKED) -r requirements/dev.lock
	@$(STEP) "install taskferry" $(RUN) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(STEP) "the lock is complete" $(RUN) -m pip check
	@touch $@

demo: setup ## Show a whole handoff on this machine: two owners, a relay, one task (ARGS="...")
	@$(BIN)/taskferry demo $(ARGS)

# --- Testing ---------------------------------------------------------------------------------------------

test: setup $(NODE_STAMP) ## Run the suite (PYTEST_ADDOPTS is yours; WORKERS=0 for one process)
	@$(RUN) -m pytest --quiet $(SPREAD) $(ARGS)

test-journeys: setup ## Drive the programs through long stories, as people do; CI runs these, too
	@$(RUN) -m pytest --quiet $(SPREAD) -m journey $(ARGS) $(JOURNEYS)

test-examples: setup $(EXAMPLES_STAMP) ## Run the examples with the agent frameworks that they are for
	@$(RUN) -m pytest --quiet -m examples $(ARGS) tests/examples

$(EXAMPLES_STAMP): requirements/examples.lock tools/make-venv
	@tools/make-venv "$(PYTHON)" "$(EXAMPLES_VENV)"
	@$(STEP) "install agent frameworks" $(EXAMPLES_VENV)/bin/python -m pip install --quiet $(LOCKED) \
		-r requirements/examples.lock
	@touch $@

test-newer: setup ## Run some tests with the newest Python that is here (NEWER_TESTS=tests runs all)
	@if python=$$(tools/newer-python $(RUN)); then \
		echo "with $$("$$python" --version)" && $(MAKE) VENV=$(NEWER_VENV) PYTHON="$$python" setup && \
		$(NEWER_VENV)/bin/python -m pytest --quiet $(SPREAD) $(ARGS) $(NEWER_TESTS); \
	else echo "skipped: no Python that is newer than $$($(RUN) --version) is here"; fi

environments: setup $(EXAMPLES_STAMP) $(SCHEMAS_STAMP) ## Create the environments that some tests have of their own; those do it, too
	@if python=$$(tools/newer-python $(RUN)); then $(MAKE) VENV=$(NEWER_VENV) PYTHON="$$python" setup; fi

test-browser: browser-setup ## Click through the dashboard and the relay's pages in a real Chromium; CI runs these, too
	@$(RUN) -m pytest --quiet --numprocesses 2 --dist loadfile -m browser $(ARGS) tests/browser

images: browser-setup ## Take the pictures of the documents anew: docs/images
	@TASKFERRY_IMAGES=docs/images $(RUN) -m pytest --quiet -m browser tests/browser -k "read and 1280 and light"

browser-setup: setup
	@$(RUN) -c "import playwright" 2>/dev/null || $(STEP) "install the browser's driver" \
		$(RUN) -m pip install --quiet $(LOCKED) -r requirements/browser.lock
	@$(STEP) "a browser is there" tools/chromium
	@$(STEP) "install the accessibility rules" npm ci --prefix tests/browser --no-audit --no-fund --silent

test-all: setup $(NODE_STAMP) $(EXAMPLES_STAMP) ## Run every test, the slow ones too
	@$(RUN) -m pytest --quiet $(SPREAD) -m "slow or not slow" $(ARGS)

# Heavy packages (1.6 GB), so no other target installs them. OpenClaw's own script refuses the Node.js of most machines; the one
# that it runs with here comes along. Claude Code's script puts its program in place.
test-integrations: setup ## Let Claude Code, Codex and OpenClaw themselves check the plugins; installs them
	@$(STEP) "install the programs" npm ci --prefix integrations --ignore-scripts --no-audit --no-fund --silent
	@$(STEP) "put Claude Code in place" npm rebuild --prefix integrations --silent @anthropic-ai/claude-code
	@$(RUN) -m pytest --quiet -m programs tests/integrations tests/worker $(ARGS)

coverage: setup ## Measure branch coverage of taskferry_protocol
	@$(RUN) -m pytest --quiet $(SPREAD) --cov --cov-report=term $(ARGS)

ifneq ($(NODE_STAMP),)
$(NODE_STAMP): $(NODE_LOCK)
	@$(STEP) "install spec/ node packages" npm ci --prefix spec --no-audit --no-fund --silent
	@touch $@
endif

sim: setup ## Simulate SEEDS=n worlds of real programs that fail, then as many of the harness (ARGS="...")
	@$(RUN) -m tests.simulation --seeds $(SEEDS) $(ARGS)
	@$(RUN) -m tests.harness --seeds $(SEEDS)

crash: setup ## Kill relay and daemons under traffic and count what arrived (ARGS="--kills 2000")
	@$(RUN) -m tests.crash $(ARGS)

disk: setup ## Let each write of stores and of whole programs fail in turn; hours (ARGS="--every 11" is a tenth)
	@$(RUN) -m pytest --quiet --numprocesses $(WORKERS) -m slow tests/disk
	@$(RUN) -m tests.disk $(ARGS)

crowd: setup ## Run many agents' programs at one daemon for MINUTES=n and count what each was told
	@$(RUN) -m tests.crowd --minutes $(MINUTES) $(ARGS)

flood: setup ## Attack a relay for MINUTES=n, and measure what honest owners notice (ARGS="--json FILE")
	@$(RUN) -m tests.floods --minutes $(MINUTES) $(ARGS)

fuzz: fuzz-setup ## Fuzz the decoders and the sessions for MINUTES=n (ARGS="--executions N --state FOLDER" goes on between runs)
	@$(RUN) -m tests.fuzz --minutes $(MINUTES) $(ARGS)

mutants: setup ## Put deliberate faults into a copy of src, one by one, and see the tests notice (ARGS="--only NAME")
	@$(RUN) -m tests.mutants $(ARGS)

schemas: setup $(SCHEMAS_STAMP) ## Hold running programs to their OpenAPI documents for 4 times SECONDS=n
	@$(RUN) -m tests.schemas --seconds $(SECONDS) --program $(SCHEMAS_VENV)/bin/schemathesis $(ARGS)

$(SCHEMAS_STAMP): requirements/schemas.lock tools/make-venv
	@tools/make-venv "$(PYTHON)" "$(SCHEMAS_VENV)"
	@$(STEP) "install schemathesis" $(SCHEMAS_VENV)/bin/python -m pip install --quiet $(LOCKED) \
		-r requirements/schemas.lock
	@touch $@

fuzz-setup: setup
	@$(RUN) -c "import atheris" 2>/dev/null || $(STEP) "install the fuzzer" \
		$(RUN) -m pip install --quiet $(LOCKED) -r requirements/fuzz.lock

bench: setup ## Measure throughput and latency (ARGS="...")
	@$(RUN) -m benchmarks $(ARGS)

load: setup ## Run DEVICES=5000 devices at one relay for MINUTES=n, and plot what that costs it
	@$(RUN) -m benchmarks.load --minutes $(MINUTES) --devices $(DEVICES) $(ARGS)

# --- Checking --------------------------------------------------------------------------------------------

check: check-format check-lint check-types check-layers check-generated ## Run every static check

check-format: setup
	@$(STEP) "format" $(BIN)/ruff format --check --quiet --diff $(TREES)

check-lint: setup
	@$(STEP) "lint" $(BIN)/ruff check --quiet --output-format concise $(TREES)

check-types: setup
	@$(STEP) "types" $(BIN)/mypy $(TYPED_TREES)

check-layers: setup
	@$(STEP) "layers" $(BIN)/lint-imports --no-logo

check-generated: setup
	@failed=; $(foreach module,$(GENERATORS),$(if $(call module_exists,$(module)),\
		$(STEP) "$(module) up to date" $(RUN) -m $(module) --check || failed=1;)) test -z "$$failed"

format: setup ## Format the code and mend what the linter can mend
	@$(BIN)/ruff check --quiet --fix-only $(TREES)
	@$(BIN)/ruff format --quiet $(TREES)

# --- Keeping house ---------------------------------------------------------------------------------------

UV := uv==0.13.8
COMPILE = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(ARGS) pyproject.toml

lock: ## Resolve the dependencies anew where pyproject.toml asks for it (ARGS=--upgrade for all)
	@tools/make-venv "$(PYTHON)" "$(VENV)"
	@$(RUN) -m pip install --quiet "$(UV)"
	@$(STEP) "requirements/dev.lock" $(COMPILE) --extra dev --output-file requirements/dev.lock
	@$(STEP) "requirements/fuzz.lock" $(COMPILE) --extra fuzz --constraint requirements/dev.lock \
		--output-file requirements/fuzz.lock
	@$(STEP) "requirements/browser.lock" $(COMPILE) --extra browser --constraint requirements/dev.lock \
		--output-file requirements/browser.lock
	@$(STEP) "requirements/examples.lock" $(COMPILE) --extra examples --constraint requirements/dev.lock \
		--output-file requirements/examples.lock
	@$(STEP) "requirements/schemas.lock" $(COMPILE) --extra schemas --constraint requirements/dev.lock \
		--output-file requirements/schemas.lock

clean: ## Remove the environment, caches and build products
	@rm -rf $(VENV) $(EXAMPLES_VENV) $(SCHEMAS_VENV) $(NEWER_VENV) build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache spec/node_modules integrations/node_modules tests/browser/node_modules
	@find src tests spec benchmarks tools examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
