"""A Redis for each file of tests that asks for one."""

from collections.abc import Iterator

import pytest

from stack.checkout import CHECKOUT
from tests.servers.redis import RedisServer, running_redis

# A checkout without loadtest/ is whole.
collect_ignore_glob = (
    [] if (CHECKOUT / "loadtest").is_dir() else ["loadtest/*", "*/test_loadtest_*"]
)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server
