# Included by the Makefile.
.PHONY: observe
observe: ## Watch the local stack with Prometheus (PROMETHEUS_PORT=, ALERTMANAGER_PORT=)
	@$(PYTHON) -m deploy.observe observe
