# make setup | serve | test | lint | bench     (PYTHON=python3.12 picks another Python)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# The tests start hundreds of processes: let what is compiled be kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup serve test lint bench tools clean

setup: $(VENV)/.installed

serve: setup
	@exec $(BIN)/lunaroute-server serve

test: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.support.tools
	@$(BIN)/python -m pytest -n 3 --dist loadgroup -m "not alone" $(ARGS)
	@$(BIN)/python -m pytest -m alone $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m bench $(ARGS)

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "LunaRoute needs Python 3.11 or newer; PYTHON=… names one."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "LunaRoute needs Python 3.11 or newer, and $(PYTHON) is older; PYTHON=… names another."; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); echo "$(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing LunaRoute into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) .tools
