# Every command, one line each. `python3 -m stack COMMAND` does the same without make.
#
# Settings are arguments (`make up STACK_PORT=8081`), environment variables or lines of .env.
PYTHON ?= python3
stack := @$(PYTHON) -m stack

.DEFAULT_GOAL := help
.PHONY: help up down status logs reload admin url dev test lint loadtest docs pins template-diff clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## Start the stack, wait until it answers, print its address (RUNTIME=compose|local)
	$(stack) up
down: ## Stop the stack; data and secrets stay
	$(stack) down
status: ## One line per service: pid or container, address, state, uptime, memory
	$(stack) status
logs: ## Show the services' logs, each line with its service (Ctrl-C ends it)
	$(stack) logs
reload: ## Load new code without refusing a request
	$(stack) reload
admin: ## Create an account with the role admin (NAME=ada); asks for its password
	$(stack) admin
url: ## Print the address of the running stack
	$(stack) url
dev: ## Run Flask's development server with debugger and reloader (PORT=)
	$(stack) dev
test: ## Run linters and tests (ARGS=tests/nginx: only pytest with these arguments)
	$(stack) test
lint: ## Run the linters and type checks
	$(stack) lint
loadtest: ## Open Locust for the running stack; PROFILE=smoke runs headless (HOST=, WORKERS=)
	$(stack) loadtest
docs: ## Write the table of toggles/ into the documentation, .env.example and nginx/
	@$(PYTHON) -m toggles --write
pins: ## Update the pins from pyproject.toml; versions that can stay do, or UPGRADE=1
	$(stack) pins
template-diff: ## In a copy: print the template's later changes as a patch (TEMPLATE=../template)
	$(stack) template-diff
clean: ## Stop this copy; delete its containers, images, data and secrets (asks; YES=1)
	$(stack) clean

# Units bring targets of their own.
include $(filter-out project/%,$(wildcard */*.mk))
