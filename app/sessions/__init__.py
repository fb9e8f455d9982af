"""Server-side sessions in Redis as a Flask SessionInterface. See README.md beside this file."""

from .client import Client, RedisClient, connect
from .errors import ReplyError, SessionTooLarge, StoreUnavailable

__all__ = [
    "Client",
    "RedisClient",
    "ReplyError",
    "SessionTooLarge",
    "StoreUnavailable",
    "connect",
]
