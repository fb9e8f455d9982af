"""Server-side sessions in Redis as a Flask SessionInterface. See README.md beside this file."""

from .interface import RedisSessionInterface
from .session import RedisSession, SessionTooLarge
from .store import SessionInfo

__all__ = ["RedisSession", "RedisSessionInterface", "SessionInfo", "SessionTooLarge"]
