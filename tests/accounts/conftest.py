"""The app of a test file: once with users in Redis, once with users in SQLite."""

import pytest
from flask import Flask

from tests.people.in_process import make_app, sqlite_manager
from tests.servers.redis import RedisServer


@pytest.fixture(scope="module", params=["redis users", "sqlite users"])
def app(request: pytest.FixtureRequest, redis: RedisServer) -> Flask:
    if request.param == "redis users":
        return make_app(redis)
    return make_app(redis, sqlite_manager(redis.folder))
