"""Connections to PostgreSQL that keep the thread's deadline.

Neither PostgreSQL's own limits (statement_timeout) nor those of TCP help when its processes are
stopped: their kernel goes on to confirm what it gets.
"""

from __future__ import annotations

from concurrent.futures import Future, wait
from typing import Any

import psycopg

from app.redis_client.connection import in_thread
from app.sql_users.deadline import left


class Connection(psycopg.Connection[Any]):
    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Every exchange with the server runs in here. One that is given up closes it."""
        most = left()
        if most is None or (timeout is not None and timeout < most):
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, most)
        except psycopg.OperationalError:
            if left() == 0:
                # An answer that still comes must not be taken for that of another statement.
                self.close()
                raise psycopg.OperationalError("no answer within the time limit") from None
            raise


def connect(*arguments: Any, **options: Any) -> Connection:
    """Connect within the deadline. Only a thread can look up a name so that another waits less."""
    most = left()
    if most is None:
        return Connection.connect(*arguments, **options)
    opening = in_thread(lambda: Connection.connect(*arguments, **options))
    if not wait([opening], most).done:
        opening.add_done_callback(_close)
        raise psycopg.OperationalError("no connection within the time limit")
    return opening.result()


def _close(late: Future[Connection]) -> None:
    if late.exception() is None:
        late.result().close()
