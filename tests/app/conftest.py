"""One local stack for all browser tests: each registers people of its own."""

import pytest

from stack.local.runtime import LocalRuntime
from tests.stack.checkouts import own_name


@pytest.fixture(scope="session")
def stack_name():
    return own_name()


@pytest.fixture(scope="session")
def address(stack_name):
    # All windows have one address, so the limit on logins would stop them.
    settings = {"STACK_PORT": "0", "STACK_NAME": stack_name, "STACK_LOGIN_RATE": "0"}
    with LocalRuntime(settings) as stack:
        yield stack.address()
