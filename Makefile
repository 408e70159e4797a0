# The verbs of this repository. `make help` lists them.
# Everything is installed from uv.lock into .venv; uv itself comes from PyPI if it is not there.
UV ?= $(shell command -v uv 2>/dev/null || echo .venv-uv/bin/uv)
RUN := $(UV) run --no-sync
.DEFAULT_GOAL := help
.PHONY: help setup demo up test lint format docs clean cluster images coverage faults e2e

help: ## list the verbs
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.complete ## install everything from the lock file

.venv-uv/bin/uv:
	python3 -m venv .venv-uv
	.venv-uv/bin/pip install --quiet "uv>=0.9"

.venv/.complete: uv.lock pyproject.toml $(filter .venv-uv/%,$(UV))
	$(UV) sync --quiet --locked --extra dev --python ">=3.11,<3.14"
	@touch $@

demo: setup ## the main job on real data: start, measure, compare, report, stop
	$(RUN) corepoint demo

up: setup ## an embedded corepoint until Ctrl-C
	$(RUN) corepoint up

test: setup lint ## every test that needs no cluster and kills nothing
	hack/test

coverage: setup ## the same with coverage
	COVERAGE=1 hack/test

faults: setup ## tests that kill, freeze, drain and cut off real processes; QUICK=1: in less than 10 minutes
	$(RUN) pytest -n 2 --dist loadfile tests/faults

cluster: ## a real Kubernetes on this machine, without a registry (root; the first time takes 15 minutes)
	hack/cluster/build
	hack/cluster/up

images: cluster ## build all images and load what is new into the cluster
	hack/images/build
	hack/cluster/load $(addprefix localhost/corepoint/,$(addsuffix :dev,api worker spark mlflow postgres minio prometheus))

e2e: setup ## every test that needs a cluster, on a real one (root)
	hack/e2e

lint: setup ## style, types, direction of imports
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

format: setup ## rewrite the files as the style wants them
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: setup ## make the generated references again
	$(RUN) python hack/references.py

clean: ## remove what setup and the demo made
	rm -rf .venv .venv-uv .corepoint
