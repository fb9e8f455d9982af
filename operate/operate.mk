# Included by the Makefile.
.PHONY: backup restore

operate := @$(PYTHON) -m operate

backup: ## Write the data to a file, while the stack runs (FILE=, BACKUP_RECIPIENT=, SECRETS=yes)
	$(operate) backup
restore: ## Replace the data by those of a backup (FILE=, BACKUP_IDENTITY=, SECRETS=yes, YES=1)
	$(operate) restore
