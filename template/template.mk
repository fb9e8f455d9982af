# Included by the Makefile.
.PHONY: new
new: ## Write a copy (DIR=../shop NAME=shop LAB=no OPERATE=no DEPLOY=no DEMO=no)
	@$(PYTHON) -m template new
