"""Posts in Redis: one hash each, and a sorted set as the index by time.

A sorted set for each author has their posts by time too. Each command touches one key, so the code
also runs on Redis Cluster. A crash between two commands can leave a hash that is not in the index.
Readers skip an index entry without a hash.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from werkzeug.exceptions import TooManyRequests

from app.redis_client import Client

INDEX = "post:index"
FIELDS = ("author_id", "author", "title", "text", "created", "edited")

# A plain HSET would recreate a post that is deleted while its author edits it, and undo an edit
# that was made in another tab. A retry after a lost reply finds its own time.
EDIT_IF_EXISTS = """\
local edited = redis.call('HGET', KEYS[1], 'edited')
if not edited then return 0 end
if ARGV[4] and edited ~= ARGV[4] and edited ~= ARGV[3] then return -1 end
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
    version: str  # changes with each edit


@dataclass(frozen=True)
class Page:
    """Page *number* (from 1) of *pages*, newest post first. *total* counts all posts."""

    posts: list[Post]
    number: int
    pages: int
    total: int


class TooManyPosts(TooManyRequests):
    """The author has as many posts as an account may have, or wrote too many in a minute."""


class EditedMeanwhile(Exception):
    """The post is not the version any more that its author has edited."""


class PostStore:
    """Every method raises StoreUnavailable while Redis is down."""

    max_posts = 200
    """Override to change how many posts one author may have."""

    per_minute = 60
    """Override to change how many of them may be younger than a minute."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._edit_if_exists = redis.script(EDIT_IF_EXISTS)

    def write(self, *, author_id: str, author: str, title: str, text: str) -> str:
        """Store a post and return its id. Raises TooManyPosts."""
        post_id = secrets.token_hex(8)
        now = time.time()
        # Claimed before it is counted: otherwise posts in parallel could pass the limit.
        mine = _of(author_id)
        _, total, recent = self._redis.pipeline(
            [
                ("ZADD", mine, f"{now:.6f}", post_id),
                ("ZCARD", mine),
                ("ZCOUNT", mine, f"{now - 60:.6f}", "inf"),
            ]
        )
        if total > self.max_posts or recent > self.per_minute:
            self._redis.execute("ZREM", mine, post_id)
            if total > self.max_posts:
                raise TooManyPosts(
                    f"You can have at most {self.max_posts} posts. Delete one first."
                )
            message = (
                f"You can write at most {self.per_minute} posts a minute. Wait, then try again."
            )
            raise TooManyPosts(message, retry_after=60)
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

    def edit(self, post_id: str, *, title: str, text: str, version: str | None = None) -> bool:
        """Change a post. Returns False if it has been deleted.

        Raises EditedMeanwhile, with nothing written, if it is not *version* any more.
        """
        values = [title, text, f"{time.time():.6f}", *([] if version is None else [version])]
        done = self._redis.execute(*self._edit_if_exists([_key(post_id)], values))
        if done < 0:
            raise EditedMeanwhile
        return bool(done)

    def delete(self, post: Post) -> None:
        self._delete(post.id, post.author_id)

    def delete_of(self, author_id: str) -> int:
        """Delete all posts of an author and return their number."""
        found = self._redis.execute("ZRANGE", _of(author_id), 0, -1)
        for post_id in found:
            self._delete(post_id.decode(), author_id)
        return len(found)

    def count_all(self) -> int:
        """List every post with its author's, as `write` does. Returns the number of posts.

        Posts that are older than the limits are not listed, so that they do not count for them and
        `delete_of` does not find them.
        """
        counted = start = 0
        while ids := self._redis.execute("ZRANGE", INDEX, start, start + 499, "WITHSCORES"):
            pairs = list(zip(ids[::2], ids[1::2], strict=True))
            reads = [("HGET", _key(post_id.decode()), "author_id") for post_id, _ in pairs]
            authors = self._redis.pipeline(reads)
            found = [
                (_of(author.decode()), created, post_id)
                for (post_id, created), author in zip(pairs, authors, strict=True)
                if author is not None
            ]
            # A post that has been deleted meanwhile must not count.
            again = [("EXISTS", _key(post_id.decode())) for *_, post_id in found]
            commands = [*(("ZADD", *each) for each in found), *again]
            present = self._redis.pipeline(commands)[len(found) :] if found else []
            for (mine, _, post_id), there in zip(found, present, strict=True):
                if not there:
                    self._redis.execute("ZREM", mine, post_id)
            counted += len(found)
            start += len(pairs)
        return counted

    def _delete(self, post_id: str, author_id: str) -> None:
        mine = ("ZREM", _of(author_id), post_id)  # last, so that a crash leaves it to delete_of()
        self._redis.pipeline([("ZREM", INDEX, post_id), ("UNLINK", _key(post_id)), mine])


def _key(post_id: str) -> str:
    return f"post:item:{post_id}"


def _of(author_id: str) -> str:
    return f"post:of:{author_id}"


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
        version=edited,
    )


def _time(seconds: str) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)
