"""Brings the tables of STACK_USERS_URL up to date. Exit codes: 1 with the reason on stderr."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import sqlalchemy as sql
from alembic import command  # type: ignore[import-not-found, unused-ignore]
from alembic.config import Config  # type: ignore[import-not-found, unused-ignore]
from alembic.util import CommandError  # type: ignore[import-not-found, unused-ignore]

from app.settings import users_url
from app.sql_users import engine_of

# Of two apps that start together, one waits for the other's migration.
_LOCK = sql.text("SELECT pg_advisory_xact_lock(3775186220)")


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


def main() -> int:
    try:
        migrate(engine_of(users_url(os.environ), transactions=True))
    except (ValueError, ImportError, CommandError) as error:
        reason: object = error
    except sql.exc.SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
    else:
        return 0
    print(f"STACK_USERS_URL: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
