"""Posts in Redis: one hash each, and a sorted set as the index by time.

Each command touches one key, so the code also runs on Redis Cluster. A crash between two commands
can leave a hash that is not in the index. Readers skip an index entry without a hash.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from app.redis_client import Client

INDEX = "post:index"
FIELDS = ("author_id", "author", "title", "text", "created", "edited")

# A plain HSET would recreate a post that is deleted while its author edits it.
EDIT_IF_EXISTS = """\
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'title', ARGV[1], 'text', ARGV[2], 'edited', ARGV[3])
return 1
"""


@dataclass(frozen=True)
class Post:
    """Times are UTC. *edited* is None if the post was never edited."""

    id: str
    author_id: str
    author: str
    title: str
    text: str
    created: datetime
    edited: datetime | None


@dataclass(frozen=True)
class Page:
    """Page *number* (from 1) of *pages*, newest post first. *total* counts all posts."""

    posts: list[Post]
    number: int
    pages: int
    total: int


class PostStore:
    """Every method raises StoreUnavailable while Redis is down."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._edit_if_exists = redis.script(EDIT_IF_EXISTS)

    def write(self, *, author_id: str, author: str, title: str, text: str) -> str:
        """Store a post and return its id."""
        post_id = secrets.token_hex(8)
        now = time.time()
        values = (author_id, author, title, text, f"{now:.6f}", "")
        pairs = [part for pair in zip(FIELDS, values, strict=True) for part in pair]
        self._redis.pipeline(
            [("HSET", _key(post_id), *pairs), ("ZADD", INDEX, f"{now:.6f}", post_id)]
        )
        return post_id

    def get(self, post_id: str) -> Post | None:
        return _post(post_id, self._redis.execute("HMGET", _key(post_id), *FIELDS))

    def page(self, number: int, size: int) -> Page:
        """Page *number* ≥ 1. A page beyond the last one is empty."""
        start = (number - 1) * size
        total, ids = self._redis.pipeline(
            [("ZCARD", INDEX), ("ZREVRANGE", INDEX, start, start + size - 1)]
        )
        names = [post_id.decode() for post_id in ids]
        reads = [("HMGET", _key(name), *FIELDS) for name in names]
        rows = self._redis.pipeline(reads) if reads else []
        found = [_post(name, row) for name, row in zip(names, rows, strict=True)]
        pages = max(1, -(-total // size))
        return Page([post for post in found if post], number, pages, total)

    def edit(self, post_id: str, *, title: str, text: str) -> bool:
        """Change a post. Returns False if it has been deleted."""
        edit = self._edit_if_exists([_key(post_id)], [title, text, f"{time.time():.6f}"])
        return bool(self._redis.execute(*edit))

    def delete(self, post_id: str) -> None:
        self._redis.pipeline([("ZREM", INDEX, post_id), ("UNLINK", _key(post_id))])


def _key(post_id: str) -> str:
    return f"post:item:{post_id}"


def _post(post_id: str, row: list[bytes | None]) -> Post | None:
    if row[0] is None:
        return None
    author_id, author, title, text, created, edited = ((value or b"").decode() for value in row)
    return Post(
        id=post_id,
        author_id=author_id,
        author=author,
        title=title,
        text=text,
        created=_time(created),
        edited=_time(edited) if edited else None,
    )


def _time(seconds: str) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)
