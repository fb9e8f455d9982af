"""A Redis for each file of tests that asks for one."""

from collections.abc import Iterator

import pytest

from tests.servers.redis import RedisServer, running_redis


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server
