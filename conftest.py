"""Loads what every folder of tests shares, wherever it lies."""

pytest_plugins = ["tests.needs", "tests.servers.containers", "tests.people.in_chromium"]
