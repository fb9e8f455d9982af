"""Brings the tables of STACK_USERS_URL up to date, before the app starts.

Exit codes: 1 with the reason on stderr, also if the app would begin without the accounts in Redis.
"""

from __future__ import annotations

import os
import sys

import sqlalchemy as sql
from alembic.util import CommandError  # type: ignore[import-not-found, unused-ignore]

from app.redis_client import ReplyError, connect
from app.settings import Settings
from app.sql_users import engine_of
from app.sql_users.accounts import Refused
from app.sql_users.tables import migrate, refuse_to_leave_accounts


def main() -> int:
    try:
        settings = Settings.from_environ(os.environ)
        engine = engine_of(settings.users_url, transactions=True)
        migrate(engine)
        refuse_to_leave_accounts(engine, connect(settings.redis_url, settings.redis_password))
    except (ValueError, ImportError, CommandError, Refused, ReplyError) as error:
        reason: object = error
    except sql.exc.SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
    else:
        return 0
    print(f"STACK_USERS_URL: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
