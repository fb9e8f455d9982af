# Included by the Makefile. The variables of `make` become options of `python3 -m lab`.
.PHONY: compare experiments repeat report bench reloads

lab := @$(PYTHON) -m lab
lab-is-on = $(filter-out 0 no off false,$($1))
lab-option = $(if $($1),--$2='$($1)')
lab-switch = $(if $(call lab-is-on,$1),--$2)
lab-run = $(call lab-option,BLOCKS,blocks) $(call lab-option,RUNTIME,runtime) \
	$(call lab-option,SEED,seed) $(call lab-switch,QUICK,quick) $(call lab-switch,FRESH,fresh) \
	$(call lab-switch,WHY,why) $(call lab-option,MINUTES,minutes)

lab-refs = $(call lab-option,A,a) $(call lab-option,B,b) $(call lab-option,APP,app) \
	$(call lab-option,URL,url) $(call lab-option,LOGIN,login)

compare: ## Compare anything (EXPERIMENT=, or A=main B=branch; WHY=1)
	$(lab) compare $(lab-run) $(lab-refs) $(EXPERIMENT)
experiments: ## Run all published experiments, unattended (HOURS=3, PUBLISH=1, REHEARSAL=1)
	$(lab) experiments $(call lab-option,HOURS,hours) $(call lab-switch,PUBLISH,publish) \
		$(call lab-switch,FRESH,fresh) $(call lab-switch,REHEARSAL,rehearsal) $(EXPERIMENT)
repeat: ## Run two equal arms 20 times, and count how often it is right (TIMES=, PUBLISH=1)
	$(lab) repeat $(call lab-option,TIMES,times) $(call lab-switch,PUBLISH,publish)
report: ## Render the newest comparison again (EXPERIMENT=, OPEN=1 serves it, PUBLISH=1)
	$(lab) report $(call lab-switch,OPEN,open) $(call lab-switch,PUBLISH,publish) $(EXPERIMENT)
bench: ## Measure the stack against its budgets (BLOCKS=, QUICK=1, FRESH=1)
	$(lab) bench $(lab-run)
reloads: ## Reload or deploy often under load, and show what clients felt (CASE=, RELOADS=)
	$(lab) reloads $(call lab-option,RELOADS,reloads) $(CASE)
