"""What the environment says, read once and checked.

STACK_* variables are described in toggles/; the three here are secrets and where Redis is.
Nothing else in app/ reads the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import toggles

# nginx refuses at the same size (client_max_body_size), so that a body is never cut off in between.
MAX_BODY_BYTES = 1024 * 1024
MIN_KEY_BYTES = 32
REDIS_SCHEMES = ("redis", "rediss", "unix")


class SettingsError(ValueError):
    """A variable that is missing or cannot be used. One line a fault, naming it and the remedy."""


@dataclass(frozen=True)
class Settings:
    """Everything the app can be told from outside. `repr()` shows no secret."""

    secret_key: bytes = field(repr=False)
    redis_url: str = field(repr=False)  # may carry a password
    redis_password: str | None = field(repr=False)
    demo: bool
    workload: bool
    tls: bool
    session_idle: int
    session_absolute: int
    hosts: tuple[str, ...]
    name: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check every variable. Raises SettingsError with all faults, one a line."""
        faults: list[str] = []
        stack: dict[str, str] = {}
        key, url, password = b"", "", None
        try:
            stack = toggles.read(environ)
        except toggles.ToggleError as error:
            faults.append(str(error))
        try:
            key = _secret_key(environ)
        except SettingsError as error:
            faults.append(str(error))
        try:
            url = _redis_url(environ)
        except SettingsError as error:
            faults.append(str(error))
        try:
            password = _redis_password(environ)
        except SettingsError as error:
            faults.append(str(error))
        if faults:
            raise SettingsError("\n".join(faults))
        return cls(
            secret_key=key,
            redis_url=url,
            redis_password=password,
            demo=stack["STACK_DEMO"] == "on",
            workload=stack["STACK_WORKLOAD"] == "on",
            tls=stack["STACK_TLS"] == "on",
            session_idle=int(stack["STACK_SESSION_IDLE"]),
            session_absolute=int(stack["STACK_SESSION_ABSOLUTE"]),
            hosts=tuple(filter(None, stack["STACK_HOSTS"].split(","))),
            name=stack["STACK_NAME"],
        )

    def flask_config(self) -> dict[str, Any]:
        """The settings under the names that Flask and its extensions know."""
        return {
            "SECRET_KEY": self.secret_key,
            "MAX_CONTENT_LENGTH": MAX_BODY_BYTES,
            # Werkzeug's default for forms is half of that, and its 413 would name the wrong limit.
            "MAX_FORM_MEMORY_SIZE": MAX_BODY_BYTES,
            # Browsers refuse a __Host- cookie without TLS; plain http is for development only.
            "SESSION_COOKIE_NAME": "__Host-session" if self.tls else "session",
            "SESSION_COOKIE_SECURE": self.tls,
            "SESSION_COOKIE_HTTPONLY": True,
            "SESSION_COOKIE_SAMESITE": "Lax",
            # A form left open outlives one hour; it must not outlive the session, and does not:
            # the token is bound to a value that is kept in it.
            "WTF_CSRF_TIME_LIMIT": None,
            "STACK_NAME": self.name,
        }


def _secret_key(environ: Mapping[str, str]) -> bytes:
    key = _read_secret(environ, "SECRET_KEY_FILE")
    if key is None:
        raise SettingsError(
            "SECRET_KEY_FILE is not set: must name a file with a random key "
            "(openssl rand -hex 32 makes one)"
        )
    if len(key) < MIN_KEY_BYTES:
        raise SettingsError(
            f"SECRET_KEY_FILE={environ['SECRET_KEY_FILE']!r}: holds {len(key)} bytes, must hold at "
            f"least {MIN_KEY_BYTES} (openssl rand -hex 32 makes a good one)"
        )
    return key


def _redis_url(environ: Mapping[str, str]) -> str:
    url = environ.get("REDIS_URL", "")
    if urlsplit(url).scheme not in REDIS_SCHEMES:
        # The value itself may carry a password, so it is not repeated.
        raise SettingsError(
            "REDIS_URL is missing or not understood: must be like redis://app@redis:6379/0, "
            "rediss://… for TLS, or unix://app@/path/to/redis.sock?db=0"
        )
    return url


def _redis_password(environ: Mapping[str, str]) -> str | None:
    password = _read_secret(environ, "REDIS_PASSWORD_FILE")
    try:
        return None if password is None else password.decode()
    except UnicodeDecodeError:
        raise SettingsError("REDIS_PASSWORD_FILE: must hold UTF-8 text") from None


def _read_secret(environ: Mapping[str, str], variable: str) -> bytes | None:
    """The content of the file that *variable* names, without line ends; None when it names none."""
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
