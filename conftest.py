"""Loads what every folder of tests shares, wherever it lies."""

import sys

# Otherwise each worker, and each process that a test starts, compiles all modules again. These
# processes read the bytecode and, with PYTHONDONTWRITEBYTECODE, still write none.
sys.dont_write_bytecode = False

pytest_plugins = ["tests.needs", "tests.servers.containers", "tests.people.in_chromium"]
