"""The app's Redis client. See client.py; errors.py says what can go wrong."""

from .client import Client, RedisClient, connect
from .connection import Argument, Command
from .errors import ReplyError, StoreUnavailable

__all__ = [
    "Argument",
    "Client",
    "Command",
    "RedisClient",
    "ReplyError",
    "StoreUnavailable",
    "connect",
]
