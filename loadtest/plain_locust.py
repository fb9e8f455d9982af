"""``python -m loadtest.plain_locust``: Locust with the options of its command line alone.

Locust also reads ``~/.locust.conf``, ``locust.conf`` and ``pyproject.toml``. A line in one of them
would change every run, and its report would not say so.
"""

from locust.argument_parser import LocustArgumentParser
from locust.main import main

# ConfigArgParse has no public switch for it.
LocustArgumentParser._open_config_files = lambda *_: []

if __name__ == "__main__":
    main()  # type: ignore[no-untyped-call]
