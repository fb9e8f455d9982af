# Included by the Makefile.
operate := @$(PYTHON) -m operate
