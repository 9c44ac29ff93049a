# The commands of this project; each makes what it needs first, starting from python3 alone.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# How many tests run side by side; each file's own stay together and in order. One more than there
# are processors, because many wait for servers.
JOBS   ?= $(shell n=$$(getconf _NPROCESSORS_ONLN) && echo $$((n < 7 ? n + 1 : 8)))
# A test that fails is run once more, and what failed at first is told at the end; 0: it has failed.
RERUNS ?= 1
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help run test test-fast demo lint format bench crash fuzz soak browser services services-stop clean
.DELETE_ON_ERROR:

help:
	@echo "make run     start the server and its live page (HOST and PORT are honoured)"
	@echo "make demo    let a simulated evaluation platform publish to the running server"
	@echo "make test    every test; 'make test ARGS=\"-k alerts\"' for some of them"
	@echo "make lint    style, format and types"
	@echo "make format  let the tools correct style and format"
	@echo "make bench   measure beside named peers (about twenty minutes); writes docs/benchmarks.md"
	@echo "make soak    half an hour of steady load, everything checked; ARGS=\"--minutes 3\" for less"
	@echo "make crash   kill the server at random instructions, ROUNDS=500 times; check what is left;"
	@echo "             ARGS=--postgresql: processes that share a log there"
	@echo "make fuzz    100,000 random requests and 20,000 hostile WebSocket frames; ARGS=\"--requests 5000\" for less"
	@echo "make services       start PostgreSQL, RabbitMQ and Kafka for tests and development (services-stop);"
	@echo "             in containers where Docker runs; ARGS=--native: as processes"
	@echo "make clean   remove the environment and what tests and tools left (not var/)"

# A stamp is newer than the requirements that it was made from, so a changed pin is installed by
# the next command. The environment itself is made once.
$(BIN)/python:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" bash .ci/make-venv

$(VENV)/.runtime: $(BIN)/python requirements.txt
	@echo "installing what running needs (requirements.txt)"
	@$(PIP) install -r requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt pyproject.toml
	@echo "installing what testing needs (requirements-dev.txt)"
	@$(PIP) install -r requirements-dev.txt
	@$(PIP) install --no-deps --editable .
	@touch $@

run: $(VENV)/.runtime
	@exec $(BIN)/gunicorn --config gunicorn.conf.py wsgi:app

demo: $(VENV)/.runtime
	@exec $(BIN)/flask --app wsgi demo $(ARGS)

browser: $(VENV)/.dev
	@$(BIN)/python -m tests.helpers.browser

test: $(VENV)/.dev
	@EVENTBUS_TEST_BROWSER="$$($(BIN)/python -m tests.helpers.browser)" && \
	  export EVENTBUS_TEST_BROWSER && exec $(BIN)/python -m pytest -n $(JOBS) --dist loadfile \
	    --no-loadscope-reorder --reruns $(RERUNS) $(ARGS)

test-fast: $(VENV)/.dev
	@exec $(BIN)/python -m pytest tests/unit $(ARGS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

$(VENV)/.bench: $(VENV)/.dev bench/requirements.txt
	@echo "installing the peers to measure against (bench/requirements.txt)"
	@$(PIP) install --no-deps -r bench/requirements.txt
	@touch $@

bench: $(VENV)/.bench
	@EVENTBUS_TEST_BROWSER="$$($(BIN)/python -m tests.helpers.browser)" && \
	  export EVENTBUS_TEST_BROWSER && exec $(BIN)/python -m bench $(ARGS)

soak: $(VENV)/.dev
	@exec $(BIN)/python -m bench.soak $(ARGS)

# ROUNDS kills with everything random from SEED; what it finds is kept in var/crash/.
crash: $(VENV)/.dev
	@exec $(BIN)/python -m tests.crash --rounds $(or $(ROUNDS),100) $(if $(SEED),--seed $(SEED)) $(ARGS)

fuzz: $(VENV)/.dev
	@exec $(BIN)/python -m tests.fuzz $(ARGS)

services: $(VENV)/.dev
	@$(BIN)/python -m tests.helpers.nginx || true
	@$(BIN)/python -m tests.helpers.prometheus || true
	@$(BIN)/python -m tests.services start $(ARGS)

services-stop: $(VENV)/.dev
	@$(BIN)/python -m tests.services stop $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
