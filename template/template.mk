# Included by the Makefile.
.PHONY: new
new: ## Write a copy (DIR=../shop NAME=shop; LAB=no and others leave out a unit)
	@$(PYTHON) -m template new
