"""Copies all accounts between Redis and the database. `make accounts-move` runs it.

    python3 -m app.sql_users.move to-database|to-redis|drop-redis

The first line of the input is a JSON object: `environ`, which changes the environment, and `extra`,
"keep" or "delete". The output has lines for the progress, and then `ready` with the number of
accounts. `to-redis` then keeps writers out of the database until its input ends. Exit codes: 1 with
the reason on stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sql

from app.redis_client import ReplyError, StoreUnavailable, connect
from app.settings import Settings
from app.sql_users import engine_of
from app.sql_users.accounts import Accounts, InDatabase, InRedis, Refused
from app.sql_users.tables import migrate

SHOWN = 10


def copy(source: Accounts, target: Accounts, extra: str = "") -> int:
    """Make *target* hold what *source* holds, read it back, and return the number of accounts.

    Raises Refused, before the first change, for accounts of *target* that this would overwrite or
    that *source* does not have; *extra* "keep" or "delete" decides about the latter.
    """
    total = 0
    taken: list[str] = []
    newer: list[str] = []
    for page in source.pages():
        total += len(page)
        present = target.of_ids([one.id for one in page])
        owners = target.owners([one.canonical_name for one in page])
        taken += [one.name for one in page if owners.get(one.canonical_name, one.id) != one.id]
        newer += [one.name for one in page if present.get(one.id, one).epoch > one.epoch]
    if taken:
        raise Refused(f"other accounts have these names there: {_listed(taken)}")
    if newer:
        raise Refused(f"these accounts were changed there: {_listed(newer)}")
    others = [
        one
        for page in target.pages()
        for kept in [source.of_ids([one.id for one in page])]
        for one in page
        if one.id not in kept
    ]
    if others and extra not in ("keep", "delete"):
        raise Refused(
            f"these accounts exist only there: {_listed([one.name for one in others])}; "
            "EXTRA=keep or EXTRA=delete"
        )
    if extra == "delete":
        target.remove(others)
    done = 0
    for page in source.pages():
        present = target.of_ids([one.id for one in page])
        target.put([one for one in page if present.get(one.id) != one])
        done += len(page)
        _say(f"copied {done:,} of {total:,} accounts")
    for page in source.pages():
        if target.of_ids([one.id for one in page]) != {one.id: one for one in page}:
            raise Refused("what was read back is not what was written; repeat the command")
    return total


def _listed(found: Sequence[str]) -> str:
    more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def _say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def locked(url: str) -> Iterator[InDatabase]:
    """The database in a transaction, beside which others read and do not write."""
    engine = engine_of(url, transactions=True)
    migrate(engine)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sql.text("SET LOCAL statement_timeout = 0"))
            connection.execute(sql.text("SET LOCAL lock_timeout = '10s'"))
            connection.execute(sql.text("LOCK TABLE stack_users IN EXCLUSIVE MODE"))
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield InDatabase(connection)


def run(task: str, given: Mapping[str, Any]) -> None:
    """Raises Refused, StoreUnavailable, ValueError or an error of SQLAlchemy's."""
    extra = given["extra"]
    settings = Settings.from_environ({**os.environ, **given["environ"]})
    redis = InRedis(connect(settings.redis_url, settings.redis_password, budget=10))
    if task == "drop-redis":
        count = 0
        for page in list(redis.pages()):
            redis.remove(page)
            count += len(page)
        _say(f"ready {count}")
        return
    with locked(settings.users_url) as database:
        if task == "to-redis":
            _say(f"ready {copy(database, redis, extra)}")
            sys.stdin.read()
            return
        count = copy(redis, database, extra)
    if redis.left:
        _say(f"left {len(redis.left)} to which nobody can log in: {_listed(sorted(redis.left))}")
    _say(f"ready {count}")


def main() -> int:
    try:
        run(sys.argv[1], json.loads(sys.stdin.readline()))
    except (Refused, StoreUnavailable, ReplyError, ValueError, ImportError) as error:
        reason: object = error
    except sql.exc.SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
    else:
        return 0
    print(reason, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
