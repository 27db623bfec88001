# `make demo` and `make test` need Python 3.11 or newer and nothing else; .venv is made on the way. With a C compiler and
# Python's headers the order books are compiled on the way too; without, plain Python keeps them.
# PYTHON=python3.12 chooses the interpreter. PORT=9000 and VIBE_... settings may be given the same way.

BIN := .venv/bin
UV ?= $(shell command -v uv || echo $(BIN)/uv)
# Half of the time of the tests is waiting for sockets and seconds, so four at once even on two cores.
PARALLEL ?= -n 4
# Tests start the program hundreds of times: where this is set, each of them would compile every module again.
test check: export PYTHONDONTWRITEBYTECODE :=
LOCK := pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" --quiet

.PHONY: help demo run test check bench lock clean

help:
	@echo "make demo    serve simulated order books on http://127.0.0.1:8000 (no network needed)"
	@echo "make run     the same program on the live exchange"
	@echo "make test    run the tests"
	@echo "make check   format, lint, types, tests: before handing in"
	@echo "make bench   measure the program beside its peers (long; docs/PERFORMANCE.md)"
	@echo "make lock    renew requirements*.lock from pyproject.toml (UPGRADE=--upgrade for newer versions)"
	@echo "make clean   remove .venv and caches; stored market data stays"

demo:
	@scripts/setup requirements.lock
	@exec $(BIN)/vibe-orderbook-mcp demo

run:
	@scripts/setup requirements.lock
	@exec $(BIN)/vibe-orderbook-mcp serve --transport http

test:
	@scripts/setup requirements-dev.lock
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

check:
	@scripts/setup requirements-dev.lock
	@scripts/check $(ARGS)

bench:
	@bench/setup
	@.venv-bench/bin/python -m bench $(ARGS)

lock:
	@command -v $(UV) >/dev/null || { scripts/setup requirements.lock && $(BIN)/python -m pip install --quiet uv; }
	$(UV) $(LOCK) $(UPGRADE) --output-file requirements.lock
	$(UV) $(LOCK) $(UPGRADE) --group dev --constraint requirements.lock --output-file requirements-dev.lock

clean:
	rm -rf .venv .venv-bench .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	rm -f src/vibe_orderbook_mcp/book/*.so
	find src tests scripts bench -name __pycache__ -type d -prune -exec rm -rf {} +
