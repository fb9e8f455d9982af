"""``python -m stack``. Any Python can read this file: an old one gets a sentence, no traceback."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is the line that says so
    sys.exit(
        "make: this is Python %d.%d, and the stack needs 3.11 or newer: make up PYTHON=python3.11"  # noqa: UP031
        % sys.version_info[:2]
    )

from stack.cli import main

sys.exit(main())
