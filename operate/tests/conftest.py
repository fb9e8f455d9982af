"""A running copy with its `make`, for the tests of commands."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests import needs
from tests.stack.checkouts import Commands, copy_checkout


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "encryption: needs age and gpg")
    needs.MISSING["encryption"] = _missing_encryption


def _missing_encryption() -> str | None:
    missing = [name for name in ("age", "gpg") if shutil.which(name) is None]
    return f"{', '.join(missing)} is not installed (Debian)" if missing else None


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """The stack's own app in the local runtime. Logins are not limited."""
    commands = Commands(
        copy_checkout(tmp_path_factory.mktemp("copy")), STACK_WORKLOAD="on", STACK_LOGIN_RATE="0"
    )
    done = commands.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    yield commands
    commands.make("down")
