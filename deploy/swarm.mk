# Included by the Makefile.
.PHONY: swarm-up swarm-down
swarm-up: ## Deploy to the Swarm of this engine, or update it (SWARM_APP=3)
	@$(PYTHON) -m deploy.swarm swarm-up
swarm-down: ## Remove the stack from the Swarm; data and secrets stay
	@$(PYTHON) -m deploy.swarm swarm-down
