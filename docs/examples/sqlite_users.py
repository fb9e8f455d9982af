"""A user store in SQLite. Sessions stay in Redis.

class Mine(SecurityManager):
    user_store = SqliteUsers

app = create_app(security_manager_class=Mine)
"""

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, replace

from app.redis_client import StoreUnavailable
from app.security.users import Credentials, NameTaken, UserStore

FIND = "SELECT doc, hash FROM user WHERE "
UPDATE = """UPDATE user SET doc = ?, epoch = ?, hash = coalesce(?, hash)
            WHERE id = ? AND epoch = ? RETURNING id"""


class SqliteUsers(UserStore):
    path = "users.sqlite"

    def __init__(self, user_model, _redis):
        super().__init__(user_model)
        self._sql("CREATE TABLE IF NOT EXISTS user (id PRIMARY KEY, name UNIQUE, hash, epoch, doc)")

    def create(self, user, canonical_name, password_hash):
        row = (user.id, canonical_name, password_hash, user.epoch, _dump(user))
        if not self._sql("INSERT OR IGNORE INTO user VALUES (?, ?, ?, ?, ?) RETURNING id", *row):
            raise NameTaken(canonical_name)

    def get(self, user_id):
        return next((found.user for found in self._find("id = ?", user_id)), None)

    def by_name(self, canonical_name):
        return next(self._find("name = ?", canonical_name), None)

    def update(self, user, *, epoch, password_hash=None):
        values = (_dump(replace(user, epoch=epoch)), epoch, password_hash, user.id, user.epoch)
        return bool(self._sql(UPDATE, *values))

    def delete(self, user, _canonical_name):
        self._sql("DELETE FROM user WHERE id = ?", user.id)

    def page(self, start, size):
        return [one.user for one in self._find("1 ORDER BY rowid LIMIT ? OFFSET ?", size, start)]

    def _find(self, where, *values):
        for doc, password_hash in self._sql(FIND + where, *values):
            yield Credentials(self.user_model(**json.loads(doc)), password_hash)

    def _sql(self, statement, *values):
        try:
            with closing(sqlite3.connect(self.path, timeout=1)) as database, database:
                return database.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"sqlite: {error}") from error


def _dump(user):
    return json.dumps(asdict(user), default=list)
