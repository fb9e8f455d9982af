"""Apps whose accounts are in SQLite and in a real PostgreSQL."""

from collections.abc import Iterator

import pytest
from flask import Flask

from app.sql_users import METADATA, engine_of
from tests.people.in_process import make_app
from tests.servers.postgresql import running_postgresql
from tests.servers.redis import RedisServer


@pytest.fixture(
    scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def users_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('users') / 'users.sqlite'}"
    else:
        with running_postgresql() as url:
            yield url


@pytest.fixture(scope="module")
def tables(users_url: str) -> str:
    engine = engine_of(users_url)
    METADATA.drop_all(engine)
    METADATA.create_all(engine)
    engine.dispose()
    return users_url


@pytest.fixture(scope="module")
def app(redis: RedisServer, tables: str) -> Flask:
    return make_app(redis, STACK_USERS_URL=tables)
