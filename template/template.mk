# Included by the Makefile.
.PHONY: new
new: ## Write a copy (DIR=../shop NAME=shop; LAB=no leaves it out, so do OPERATE DEPLOY INSIDE DEMO)
	@$(PYTHON) -m template new
