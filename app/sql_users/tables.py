"""Brings the tables up to date, and refuses to begin with none of the accounts that there are."""

from __future__ import annotations

import time
from pathlib import Path

import sqlalchemy as sql
from alembic import command  # type: ignore[import-not-found, unused-ignore]
from alembic.config import Config  # type: ignore[import-not-found, unused-ignore]

from app.redis_client import Client, StoreUnavailable
from app.sql_users.accounts import Accounts, InDatabase, InRedis, Refused
from toggles.demo import DEMO_NAME

# Of two apps that start together, one waits for the other's migration.
_LOCK = sql.text("SELECT pg_advisory_xact_lock(3775186220)")

# Redis may start together with this (deploy/kubernetes). In seconds.
PATIENCE = 60.0
PAUSE = 1.0


def migrate(engine: sql.Engine) -> None:
    """Run the migrations that are missing, in one transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # A migration may take longer than a request.
            connection.execute(sql.text("SET LOCAL statement_timeout = 0"))
            connection.execute(sql.text("SET LOCAL lock_timeout = '30s'"))
            connection.execute(_LOCK)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def refuse_to_leave_accounts(engine: sql.Engine, redis: Client) -> None:
    """Raises Refused if the database has no account, and Redis has some or does not answer.

    The demo account does not count. `make accounts-move COPY=no` permits it.
    """
    with engine.connect() as connection:
        if _any(InDatabase(connection)):
            return
    in_redis = InRedis(redis)
    until = time.monotonic() + PATIENCE
    while True:
        try:
            left = _any(in_redis) and not in_redis.may_stay
            break
        except StoreUnavailable as error:
            if time.monotonic() > until:
                raise Refused(f"the database has no account, and Redis may: {error}") from error
            time.sleep(PAUSE)
    if left:
        raise Refused(
            "the accounts are in Redis, and the database has none. While the app runs without this "
            "setting, `make accounts-move` takes them there; COPY=no lets it begin without them"
        )


def _any(accounts: Accounts) -> bool:
    return any(one.canonical_name != DEMO_NAME for page in accounts.pages() for one in page)
