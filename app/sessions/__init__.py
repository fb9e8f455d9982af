"""Server-side sessions in Redis as a Flask SessionInterface. See README.md beside this file."""

from .client import Client, RedisClient, connect
from .connection import Command
from .errors import ReplyError, SessionTooLarge, StoreUnavailable
from .interface import RedisSessionInterface
from .session import RedisSession
from .store import SessionInfo

__all__ = [
    "Client",
    "Command",
    "RedisClient",
    "RedisSession",
    "RedisSessionInterface",
    "ReplyError",
    "SessionInfo",
    "SessionTooLarge",
    "StoreUnavailable",
    "connect",
]
