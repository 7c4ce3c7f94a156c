# The commands of the README; `.ci/run` calls the same ones.
PYTHON ?= python3
BIN := .venv/bin
NEWEST := .venv-newest/bin

# What pip is told wherever it is called.
PIP := pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
# Hundreds of processes are started here; without their compiled modules each would compile all of them anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install run test coverage test-newest test-slow lint fuzz chaos-ci chaos soak docs bench bench-beside bench-load what-if lock clean

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/installed  ## .venv, with exactly the packages of requirements.lock

# Hashes checked; again only when the lock or the project file changed.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/$(PIP) install --require-hashes -r requirements.lock
	$(BIN)/$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

run: install  ## Two partners send every sample through a gateway of its own
	@$(BIN)/python -m gateway.cli.demo

test: install  ## The test suite, but for what takes long; ONLY="tests/way" for some
	$(BIN)/python -m pytest -n auto --dist worksteal $(ONLY)

# By `sys.monitoring`, which costs nothing, where there is a newer Python; elsewhere by a trace, which doubles the time.
coverage: install  ## The same suite, with the coverage of our packages and its floor; on the newest Python, if there is one
	@if [ -n "$$($(BIN)/python -m tests.support.newest)" ]; then \
		COVERAGE_CORE=sysmon $(MAKE) --no-print-directory test-newest ONLY="--cov --cov-report=term"; \
	else \
		$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term; \
	fi

# With packages of the same versions, in an environment beside .venv.
test-newest: install  ## The same suite on the newest Python beside .venv's, if this machine has one; ONLY="tests/way" for some
	@newest=$$($(BIN)/python -m tests.support.newest) && if [ -z "$$newest" ]; then \
		echo "This machine has no Python newer than that of .venv: nothing is tested."; \
	else \
		$(MAKE) --no-print-directory .venv-newest/installed PYTHON="$$newest" && \
		echo "$(NEWEST)/python is $$($(NEWEST)/python --version)" && \
		$(NEWEST)/python -m pytest -n auto --dist worksteal $(ONLY); \
	fi

.venv-newest/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear .venv-newest
	$(NEWEST)/$(PIP) install --require-hashes -r requirements.lock
	$(NEWEST)/$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

test-slow: install  ## What takes seconds: processes started and killed, conformance kits, the wheel; SLOW="-k name" for some
	$(BIN)/python -m pytest -n auto --dist worksteal -m "slow and not chaos" $(SLOW)

lint: install  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# EDIFACT and XML, side by side: each has a verdict, whatever its bytes.
FUZZ_SECONDS ?= 60
fuzz: install  ## Mutated transmissions for FUZZ_SECONDS (60)
	GATEWAY_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest -n 2 -m slow -rP tests/way/test_fuzz.py

chaos-ci: install  ## Kills, cuts and outages on brokers and databases of its own, a set for each file, as the build runs them
	$(BIN)/python -m pytest -n 2 --dist loadfile -m chaos -rP tests

chaos: install  ## The same at full size, for hours
	HYPOTHESIS_PROFILE=ci GATEWAY_MACHINE_RUNS=20000 $(BIN)/python -m pytest --timeout=7200 -rP tests/chaos/test_crash_simulation.py tests/chaos/test_way_machine.py tests/chaos/test_way_order.py
	GATEWAY_CHAOS=full $(BIN)/python -m pytest -m "chaos or slow" --timeout=7200 -rP tests/chaos/test_chaos.py tests/chaos/test_chaos_outages.py

MINUTES ?= 30
soak: install  ## A steady flow for MINUTES (30) with strikes at random: brokers and databases killed, networks cut
	$(BIN)/python -m tests.support.soak $(MINUTES)

docs: install  ## The generated pages of docs/ written anew
	$(BIN)/gateway specs reference > docs/packs.md
	WRITE_DOCS=1 $(BIN)/python -m pytest -q tests/unit/test_edifact_faults.py

# Peers in Node are fetched where npm is there.
bench: install  ## Speed beside the peers, on generated traffic; writes benchmarks/*.md and docs/growth.md
	@$(BIN)/python -W ignore benchmarks/bench_edifact.py
	@$(BIN)/python benchmarks/bench_pipeline.py
	@$(BIN)/python -m benchmarks.startup
	@$(BIN)/python -m benchmarks.bench_growth

# Of this checkout and another, side by side: make bench-beside WITH=../other
bench-beside: install  ## Both checkouts on the same varied traffic, in turns; WITH=FOLDER, its environment installed, too
	@$(BIN)/python -m benchmarks.compare $(WITH)

bench-load: install  ## Declarations a second end to end, on this machine; LOAD="--backlog 100000" for the full size
	@$(BIN)/python -m benchmarks.load $(LOAD)

what-if: install  ## What-if over 100,000 recorded messages: the verdicts expected, messages/s, memory (half an hour to record)
	@$(BIN)/python -m benchmarks.what_if

lock: install  ## The dependencies of pyproject.toml resolved again, into requirements.lock
	$(BIN)/python -m uv pip compile --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml --group dev -o requirements.lock

clean:  ## Away with environments, runs and builds
	rm -rf .venv .venv-newest run build
