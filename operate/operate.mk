# Included by the Makefile.
.PHONY: accounts-move backup restore rotate certs top deploy sbom audit

operate := @$(PYTHON) -m operate

accounts-move: ## Take the accounts to where .env says (EXTRA=, DROP=yes, COPY=no)
	$(operate) accounts-move
backup: ## Write all data to one file (FILE=, BACKUP_RECIPIENT=, SECRETS=yes)
	$(operate) backup
restore: ## Put a backup's data in place (FILE=, BACKUP_IDENTITY=, SECRETS=yes, YES=1)
	$(operate) restore
rotate: ## Replace a secret, and fail no request (WHAT=secret-key|redis-password|tls)
	$(operate) rotate
certs: ## Make a development authority, and nginx's certificate by it (YES=1)
	$(operate) certs
deploy: ## Replace the running version by this checkout's, beside it (NGINX=later)
	$(operate) deploy
top: ## Show workers, requests, CPU and memory, live; once if piped (SECONDS=2)
	$(operate) top
sbom: ## List all installed packages and licences, in results/sbom/ (CycloneDX)
	$(operate) sbom
audit: ## Ask for the advisories of all pinned packages; 1 if there are some (OSV_URL=)
	$(operate) audit
