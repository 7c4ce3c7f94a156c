# The commands of the README; `.ci/run` calls the same ones.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test test-slow lint install bench clean chaos chaos-ci soak bench-load what-if fuzz

install: .venv/installed

# Installs exactly what requirements.lock names, hashes checked; again only when the lock or the project file changed.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: install
	@$(BIN)/python -m gateway.cli.demo

test: install
	$(BIN)/python -m pytest -n auto --dist worksteal

# What takes seconds rather than milliseconds: processes started and killed, conformance kits, large hostile input.
test-slow: install
	$(BIN)/python -m pytest -n auto --dist worksteal -m "slow and not chaos" $(SLOW)

# Mutated EDIFACT and XML, side by side, for so many seconds: each has a verdict, whatever its bytes.
FUZZ_SECONDS ?= 60
fuzz: install
	GATEWAY_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest -n 2 -m slow -rP tests/test_fuzz.py

# Kills, cuts and outages on brokers and databases of its own: reduced, as the build runs it, and at full size.
chaos-ci: install
	$(BIN)/python -m pytest -m chaos -rP tests

chaos: install
	HYPOTHESIS_PROFILE=ci GATEWAY_MACHINE_RUNS=20000 $(BIN)/python -m pytest --timeout=7200 -rP tests/test_crash_simulation.py tests/test_way_machine.py tests/test_way_order.py
	GATEWAY_CHAOS=full $(BIN)/python -m pytest -m "chaos or slow" --timeout=7200 -rP tests/test_chaos.py

# A steady flow with strikes at random: brokers and databases killed, networks cut and stalled.
MINUTES ?= 30
soak: install
	$(BIN)/python -m tests.soak $(MINUTES)

# Declarations a second end to end, all on this machine; LOAD="--backlog 100000" for the full size.
bench-load: install
	@$(BIN)/python -m benchmarks.load $(LOAD)

# Speed beside the peers, on generated traffic; writes benchmarks/*.md. Peers in Node are fetched where npm is there.
bench: install
	@$(BIN)/python -W ignore benchmarks/bench_edifact.py
	@$(BIN)/python benchmarks/bench_pipeline.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Re-resolves the dependencies of pyproject.toml into the lock file.
lock: install
	$(BIN)/python -m uv pip compile --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml --group dev -o requirements.lock

# What-if over 100,000 recorded messages: exactly the expected verdicts, messages/s and memory (half an hour to record).
what-if: install
	@$(BIN)/python -m benchmarks.what_if

clean:
	rm -rf .venv run build
