# Included by the Makefile. Variables after the target arrive in the environment.
.PHONY: compare report bench

compare: ## Compare settings or servers (EXPERIMENT=, BLOCKS=, QUICK=1, FRESH=1, SEED=)
	@$(PYTHON) -m lab compare
report: ## Render the newest comparison again (EXPERIMENT=, OPEN=1 serves it, PUBLISH=1)
	@$(PYTHON) -m lab report
bench: ## Measure the stack against its budgets: experiment `budgets` (BLOCKS=, QUICK=1)
	@$(PYTHON) -m lab bench
