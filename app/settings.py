"""The settings in the environment, read and checked once. Nothing else in app/ reads it.

toggles/ defines the STACK_* variables. This module adds SECRET_KEY_FILE, REDIS_URL and
REDIS_PASSWORD_FILE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import toggles

MIN_KEY_BYTES = 32
# Relative paths begin here, as for the app itself.
PROJECT = Path(__file__).resolve().parent.parent / "project"


class SettingsError(ValueError):
    """Variables that are missing or invalid: one line each, with the name and the remedy."""


@dataclass(frozen=True)
class Settings:
    """Every setting of the app. `repr()` shows no secret."""

    secret_key: bytes = field(repr=False)
    redis_url: str = field(repr=False)  # may contain a password
    redis_password: str | None = field(repr=False)
    demo: bool
    inside: str
    workload: bool
    tls: bool
    session_idle: int
    session_absolute: int
    name: str
    prefix: str
    body_limit: int  # bytes
    users_url: str = field(repr=False)  # may contain a password
    threads: int
    # They verify and do not sign (`make rotate`).
    other_keys: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check every variable. Raises SettingsError with one line for each fault."""
        readers: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "stack": toggles.read,
            "secret_key": _secret_key,
            "other_keys": _other_keys,
            "redis_url": _redis_url,
            "redis_password": _redis_password,
            "users_url": users_url,
        }
        values: dict[str, Any] = {}
        faults: list[str] = []
        for name, read in readers.items():
            try:
                values[name] = read(environ)
            except (toggles.ToggleError, SettingsError) as error:
                faults.append(str(error))
        if faults:
            raise SettingsError("\n".join(faults))
        stack = values.pop("stack")
        return cls(
            **values,
            demo=stack["STACK_DEMO"] == "on",
            inside=stack["STACK_INSIDE"],
            workload=stack["STACK_WORKLOAD"] == "on",
            tls=stack["STACK_TLS"] == "on",
            session_idle=int(stack["STACK_SESSION_IDLE"]),
            session_absolute=int(stack["STACK_SESSION_ABSOLUTE"]),
            name=stack["STACK_NAME"],
            prefix=stack["STACK_PREFIX"],
            body_limit=int(stack["STACK_BODY_LIMIT"]) << 20,
            threads=int(stack["STACK_THREADS"]),
        )

    def flask_config(self) -> dict[str, Any]:
        """The settings under the names that Flask and its extensions use."""
        return {
            "SECRET_KEY": self.secret_key,
            "SECRET_KEY_FALLBACKS": self.other_keys,
            # Flask-WTF has no fallbacks, but itsdangerous does: it signs with the last key.
            "WTF_CSRF_SECRET_KEY": [*self.other_keys, self.secret_key],
            "MAX_CONTENT_LENGTH": self.body_limit,
            # Werkzeug's default for forms is half of that; its 413 would name the wrong limit.
            "MAX_FORM_MEMORY_SIZE": self.body_limit,
            # Browsers reject a __Host- cookie without TLS. Plain HTTP is for development only.
            # It needs Path=/, so copies below prefixes of one host need names of their own.
            "SESSION_COOKIE_NAME": ("__Host-session" if self.tls else "session")
            + self.prefix.replace("/", "-"),
            "SESSION_COOKIE_SECURE": self.tls,
            "SESSION_COOKIE_HTTPONLY": True,
            "SESSION_COOKIE_SAMESITE": "Lax",
            # Default: one hour, less than a session. The token expires with the session, which
            # stores the value that it is derived from.
            "WTF_CSRF_TIME_LIMIT": None,
            "STACK_NAME": self.name,
        }


def users_url(environ: Mapping[str, str]) -> str:
    """The URL of the accounts' database; "" for Redis. Raises SettingsError."""
    url, file = environ.get("STACK_USERS_URL", ""), environ.get("STACK_USERS_URL_FILE", "")
    if not file:
        return url
    if url:
        raise SettingsError("STACK_USERS_URL_FILE: STACK_USERS_URL is set too; unset one of them")
    found = _read_secret({"STACK_USERS_URL_FILE": f"{PROJECT / file}"}, "STACK_USERS_URL_FILE")
    return (found or b"").decode(errors="replace")


def _secret_key(environ: Mapping[str, str]) -> bytes:
    key = _read_secret(environ, "SECRET_KEY_FILE") or b""
    if len(key) < MIN_KEY_BYTES:
        raise SettingsError(
            f"SECRET_KEY_FILE must name a file that holds a random key of at least {MIN_KEY_BYTES} "
            "bytes (openssl rand -hex 32 prints one)"
        )
    return key


def _other_keys(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    """The lines of the file that is named like the secret key's with `.fallbacks` behind it."""
    path = environ.get("SECRET_KEY_FILE", "")
    if not Path(f"{path}.fallbacks").exists():
        return ()
    found = _read_secret({"SECRET_KEY_FILE": f"{path}.fallbacks"}, "SECRET_KEY_FILE") or b""
    return tuple(key for key in found.splitlines() if key != _secret_key(environ))


def _redis_url(environ: Mapping[str, str]) -> str:
    url = environ.get("REDIS_URL", "")
    scheme, _, kind = urlsplit(url).scheme.partition("+")
    if scheme not in {"redis", "rediss", "unix"} or kind not in {"", "sentinel", "cluster"}:
        # The message does not repeat the value, which may contain a password.
        raise SettingsError(
            "REDIS_URL is missing or invalid: must be like redis://app@redis:6379/0, "
            "rediss://… for TLS, unix://app@/path/to/redis.sock?db=0, or "
            "redis+sentinel://app@one:26379,two:26379/main"
        )
    return url


def _redis_password(environ: Mapping[str, str]) -> str | None:
    password = _read_secret(environ, "REDIS_PASSWORD_FILE")
    try:
        return None if password is None else password.decode()
    except UnicodeDecodeError:
        raise SettingsError("REDIS_PASSWORD_FILE: must hold UTF-8 text") from None


def _read_secret(environ: Mapping[str, str], variable: str) -> bytes | None:
    """The stripped content of the file that *variable* names; None if the variable is not set."""
    path = environ.get(variable)
    if not path:
        return None
    try:
        content = Path(path).read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"{variable}={path!r}: {error.strerror}") from None
    if not content:
        raise SettingsError(f"{variable}={path!r}: the file is empty")
    return content
