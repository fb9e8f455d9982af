"""The markers and the left-out summary are those of tests/."""

from tests.conftest import pytest_collection_modifyitems, pytest_terminal_summary

__all__ = ["pytest_collection_modifyitems", "pytest_terminal_summary"]
