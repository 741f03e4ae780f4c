# Two commands: `make run` opens napari with the workspace and a sample, `make test` runs the tests.
# Both set up what they need (system packages for Qt through apt, a virtual environment) and are quick the second time.
# QT=pyqt6 chooses the other binding; PYTHON=python3.12 another interpreter.

QT ?= pyqt5
PYTHON ?= python3
VENV := .venv-$(QT)
BIN := $(VENV)/bin
OUT ?= out

.PHONY: run test test-noqt lint docs screenshots wheel clean

run: $(VENV)/.ready
	@BIN=$(BIN) OUT=$(OUT) sh tools/run.sh

test: $(VENV)/.ready
	@QT_API=$(QT) sh tools/test.sh $(BIN)/python $(ARGS)

# Everything but the window, in an environment without any Qt.
test-noqt: .venv-noqt/.ready
	.venv-noqt/bin/python -m pytest -p no:pytest-qt -p no:xvfb -p no:napari --ignore=tests/ui --ignore=napari_segtool/ui $(ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/npe2 validate --imports napari_segtool/napari.yaml

# Pictures of the README and docs, taken from real windows.
screenshots: $(VENV)/.ready
	xvfb-run -a -s "-screen 0 1920x1080x24" $(BIN)/python docs/screenshots.py

wheel: $(VENV)/.lint
	$(BIN)/python -m build --wheel

$(VENV)/.ready: pyproject.toml constraints.txt tools/system.sh
	@sh tools/system.sh $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing napari-segtool with $(QT) into $(VENV) (a few minutes the first time)…"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[$(QT),test]"
	@touch $@

$(VENV)/.lint: $(VENV)/.ready
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[lint]"
	@touch $@

.venv-noqt/.ready: pyproject.toml constraints.txt tools/system.sh
	@sh tools/system.sh $(PYTHON)
	@test -x .venv-noqt/bin/python || $(PYTHON) -m venv .venv-noqt
	@.venv-noqt/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@

clean:
	rm -rf .venv-pyqt5 .venv-pyqt6 .venv-noqt build dist *.egg-info out
