"""Loads what every folder of tests shares, wherever it lies."""

import signal
import sys

from hypothesis import settings

# Otherwise each worker, and each process that a test starts, compiles all modules again. These
# processes read the bytecode and, with PYTHONDONTWRITEBYTECODE, still write none.
sys.dont_write_bytecode = False

# A shell starts background jobs with SIGINT ignored, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline fails a test for what a busy machine does, and so does the limit on drawing examples,
# which follows from it.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")

pytest_plugins = ["tests.needs", "tests.servers.containers", "tests.people.in_chromium"]
