# Everything is installed into .venv, once; again only when one of NEEDS changed.
PYTHON ?= python3
ARGS   ?=
# PyTorch's default build for Linux has CUDA in it, which takes gigabytes; this index has one without
CPU    := https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
NEEDS  := settings.ini setup.py pyproject.toml constraints.txt
PIP    := .venv/bin/python -m pip install --disable-pip-version-check --no-compile --constraint constraints.txt
# on all cores; pip would take one
COMPILE := .venv/bin/python -m compileall -qq -j 0 .venv/lib || true

.PHONY: help search test llama parent lab clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

search: .venv/run ## search GPT-2 on this machine's CPU into runs/gpt2; more options in ARGS='...'
	.venv/bin/lts search --out runs/gpt2 $(ARGS)

test: .venv/dev ## check the repository, run the notebooks as tests, then pytest
	.venv/bin/python tools/check.py

llama: .venv/dev ## build llama.cpp, which takes minutes and a C++ compiler, and run the tests that need it
	$(PIP) --editable '.[dev,llama]'
	.venv/bin/python -m pytest tests/formats tests/profiler/test_llama_cpp.py

parent: .venv/dev ## fetch SmolLM2-135M-Instruct (98 MB) into the cache, for benchmarks and slow tests of shaping
	.venv/bin/python tools/fetch_parent.py

lab: .venv/dev ## open the quickstart in JupyterLab
	.venv/bin/jupyter lab --ServerApp.root_dir=. nbs/tutorials/quickstart.ipynb $(ARGS)

clean: ## remove the environment and every build product, but no results
	rm -rf .venv build dist *.egg-info _docs _proc .pytest_cache .hypothesis

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lts_nb needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	@test '$(TORCH_INDEX)' -o "$$(uname)" != Linux || command -v nvidia-smi > /dev/null || \
		echo 'no NVIDIA card is seen; before .venv is made, TORCH_INDEX=$(CPU) saves gigabytes'
	$(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(PIP) --no-deps --index-url $(TORCH_INDEX) torch)
	@touch $@

.venv/run: $(NEEDS) | .venv/made
	$(PIP) --editable .
	@$(COMPILE)
	@touch $@

.venv/dev: $(NEEDS) | .venv/made
	$(PIP) --editable '.[dev]'
	@$(COMPILE)
	@touch .venv/run $@
