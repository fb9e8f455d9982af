# Included by the Makefile.
.PHONY: faults
faults: ## Break a copy in each known way, show what users see (ONLY=, DURING=reload|deploy)
	@$(PYTHON) -m faults
