"""Redis and Valkey. The sessions work on both."""

from collections.abc import Iterator

import pytest

from tests.servers.redis import RedisServer, running_redis


@pytest.fixture(scope="module", params=["redis", "valkey"])
def any_redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with running_redis(request.param) as server:
        yield server
