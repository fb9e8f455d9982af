"""Configurations compared so that the answer can be believed."""
