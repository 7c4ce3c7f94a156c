# The commands of the README; `.ci/run` calls the same ones.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint install bench clean

install: .venv/installed

# Installs exactly what requirements.lock names, hashes checked; again only when the lock or the project file changed.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: install
	@$(BIN)/python -m gateway.demo

test: install
	$(BIN)/python -m pytest

# Speed beside the peers, on generated traffic; writes benchmarks/*.md. Peers in Node are fetched where npm is there.
bench: install
	@$(BIN)/python -W ignore benchmarks/bench_edifact.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Re-resolves the dependencies of pyproject.toml into the lock file.
lock: install
	$(BIN)/python -m uv pip compile --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml --group dev -o requirements.lock

clean:
	rm -rf .venv run build
