# Included by the Makefile.
.PHONY: backup restore

operate := @$(PYTHON) -m operate

backup: ## Write all data to one file (FILE=, BACKUP_RECIPIENT=, SECRETS=yes)
	$(operate) backup
restore: ## Put a backup's data in place (FILE=, BACKUP_IDENTITY=, SECRETS=yes, YES=1)
	$(operate) restore
