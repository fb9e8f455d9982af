# Included by the Makefile.
.PHONY: plan
plan: ## How many machines and workers, how much Redis (RPS=, APP_MS=; CHECK=1 measures)
	@$(PYTHON) -m deploy.plan plan
