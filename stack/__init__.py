"""Starts, inspects and stops one copy of the stack, in containers or as local processes."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python reads this far, and no further
    sys.exit(
        "make: this is Python %d.%d; the stack needs 3.11 or newer: make up PYTHON=python3.11"  # noqa: UP031
        % sys.version_info[:2]
    )
