"""Which release of the stack this is. tests/unit/test_app_release.py holds pyproject.toml to it."""

VERSION = "0.1.0"
