"""Copies of the template: `make new` writes one, `make template-diff` shows later changes to it."""
