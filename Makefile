# Motorpool. `make demo` shows it, `make test` proves it; the other targets are listed by `make help`.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# Tests wait for servers some of their time: three workers for two cores.
WORKERS ?= $(shell echo $$((($$(nproc) * 3 + 1) / 2)))
# Portals, workers and tests are many processes of the same code: it is compiled once, whatever the caller's environment.
export PYTHONDONTWRITEBYTECODE :=
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
# An environment whose interpreter this user cannot run (made by another user, or by a Python that is gone) is made anew.
ifneq ($(wildcard $(VENV)),)
ifneq ($(shell $(BIN)/python -c 'print("runs")' 2>/dev/null),runs)
$(shell rm -rf $(VENV))
endif
endif

.PHONY: help demo run test test-long check bench chaos format requirements frontend clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.base  ## a demo fleet, live, at http://127.0.0.1:$PORT (8000)
	@exec $(BIN)/python -m fleet.embedded demo

run: $(VENV)/.base  ## an empty portal; its first visitor creates the first organization
	@exec $(BIN)/python -m fleet.embedded run

test: $(VENV)/.dev  ## all tests but the long ones
	@PASSWORD_ROUNDS=4 exec $(BIN)/python -m fleet.embedded exec -- $(BIN)/python -m pytest -m "not long" -n $(WORKERS) $(ARGS)

test-long: $(VENV)/.dev  ## the long ones: large Hypothesis runs, kills, soaks
	@exec $(BIN)/python -m fleet.embedded exec -- $(BIN)/python -m pytest -m long $(ARGS)

check: $(VENV)/.dev  ## format, lint, types, imports, migrations, templates, built assets
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m fleet.embedded exec -- $(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m fleet.embedded exec -- $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m fleet.embedded exec -- $(BIN)/python manage.py check_templates
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory check-frontend; else echo "no Node: the built assets were not rebuilt"; fi

.PHONY: check-frontend
check-frontend: frontend/node_modules
	cd frontend && npm run --silent check && npm run --silent build
	@git diff --exit-code --stat -- static/dist || { echo "static/dist is not what frontend/ builds: commit the build"; exit 1; }

bench: $(VENV)/.dev  ## measure ingest, reading and the live stream beside peers
	@exec $(BIN)/python -m fleet.embedded exec -- $(BIN)/python -m bench.run $(ARGS)

chaos: $(VENV)/.dev  ## kill and freeze every part while agents send, and show that nothing acknowledged is lost
	@exec $(BIN)/python -m chaos.run $(ARGS)

format: $(VENV)/.dev  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

frontend: frontend/node_modules  ## build static/dist (needs Node)
	cd frontend && npm run --silent build

frontend/node_modules: frontend/package-lock.json
	cd frontend && npm install --no-save --no-audit --no-fund --no-progress
	@touch $@

requirements:  ## compile requirements/*.in to hashed .txt (needs uv)
	for set in base dev; do uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links -o requirements/$$set.txt requirements/$$set.in || exit 1; done
	uv pip compile --quiet --no-deps --python-version 3.12 --generate-hashes --no-header --no-emit-index-url \
	  --no-emit-find-links -o requirements/servers.txt requirements/servers.in

clean:  ## remove what was built and installed, not the data
	rm -rf $(VENV) frontend/node_modules staticfiles .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Motorpool needs Python 3.11, 3.12 or 3.13 with venv."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv is missing: apt install python3-venv"; exit 1; }

# Installed as root in somebody's folder, the environment belongs to that somebody.
define install
	@echo "Installing $(1) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
	@if [ "$$(id -u)" = 0 ]; then chown -R --reference=. $(VENV); fi
	@touch $@
endef

$(VENV)/.base: requirements/base.txt | $(VENV)/bin/python
	$(call install,requirements/base.txt)

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	$(call install,requirements/dev.txt)
