# Every job, one line each. What a job does is in stack/: `python3 -m stack` without make is the same.
#
# Settings go behind the target (`make up STACK_PORT=8081`), into the environment or into .env.
PYTHON ?= python3
stack := @$(PYTHON) -m stack

.DEFAULT_GOAL := help
.PHONY: help up down status logs reload url dev test lint loadtest bench compare report base-image pins clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

up: ## Start the stack, wait until it answers, print its address (RUNTIME=compose|local)
	$(stack) up
down: ## Stop the stack; data and secrets stay
	$(stack) down
status: ## A line a service: pid or container, address, state, uptime, memory
	$(stack) status
logs: ## Show what the services say, each line with its service (Ctrl-C ends it)
	$(stack) logs
reload: ## Take new code over without refusing a request
	$(stack) reload
url: ## Print the address of the running stack
	$(stack) url
dev: ## Flask's development server with debugger and reload, on the stack's Redis (PORT=)
	$(stack) dev
test: ## Linters, then every test that this machine can run (ARGS= goes to pytest alone)
	$(stack) test
lint: ## Linters and type checks alone
	$(stack) lint
loadtest: ## Locust's page aimed at the running stack; PROFILE=smoke runs one headless (HOST=)
	$(stack) loadtest
bench: ## Measure what this stack costs, against its budgets (ARGS=--blocks 6)
	$(stack) bench
compare: ## Which setting is better, by how much, how surely (EXPERIMENT=, BLOCKS=, QUICK=1)
	$(stack) compare
report: ## Render the newest comparison again (EXPERIMENT=, OPEN=1 serves it, PUBLISH=1)
	$(stack) report
base-image: ## Make the containers' base image from Debian's packages, where none can be pulled
	$(stack) base-image
pins: ## Resolve pyproject.toml's dependency groups into requirements/*.txt, hash by hash
	$(stack) pins
clean: ## Take it down and delete what was made: containers, data, secrets, .venv, results
	$(stack) clean
