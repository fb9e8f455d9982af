"""A client of Redis whose connection a test can break."""

from collections.abc import Iterator

import pytest

from app.redis_client import RedisClient, connect
from tests.servers.fault_proxy import FaultProxy
from tests.servers.redis import RedisServer


@pytest.fixture(scope="module")
def proxy(redis: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(str(redis.socket)) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy, redis: RedisServer) -> RedisClient:
    return connect(proxy.url, redis.password, budget=10)
