# Included by the Makefile.
.PHONY: faults
faults: ## Break a copy in each known way; print what users see (ONLY=redis-stop, DURING=reload)
	@$(PYTHON) -m faults
