"""One Chromium and one local stack for all browser tests: each registers people of its own."""

import pytest

from stack.local.runtime import LocalRuntime
from tests.fixtures_browser import chromium


@pytest.fixture(scope="session")
def address():
    # Every window comes from one address, so the limit on logins would be in the way.
    settings = {"STACK_PORT": "0", "STACK_NAME": "browser", "STACK_LOGIN_RATE": "0"}
    with LocalRuntime(settings) as stack:
        yield stack.address()


@pytest.fixture(scope="session")
def browser():
    with chromium() as browser:
        yield browser
