"""Loads what every folder of tests shares, wherever it lies."""

import signal
import sys

# Otherwise each worker, and each process that a test starts, compiles all modules again. These
# processes read the bytecode and, with PYTHONDONTWRITEBYTECODE, still write none.
sys.dont_write_bytecode = False

# A shell starts background jobs with SIGINT ignored, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.needs", "tests.servers.containers", "tests.people.in_chromium"]
