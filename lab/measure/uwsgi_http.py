"""A second uWSGI with the HTTP router, which uwsgi/build.ini excludes.

It is the same version from the same hashed pins, compiled with the same profile except for one
line. It is installed as `.venv/bin/uwsgi-http`, where it finds the same Python packages.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from stack import programs
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.progress import Progress

# http needs corerouter, the common part of uWSGI's routers.
PLUGINS = "embedded_plugins=python,corerouter,http"

_VENV = CHECKOUT / ".venv"
_PROFILE = CHECKOUT / "uwsgi" / "build.ini"
_PINS = CHECKOUT / "requirements" / "server.txt"
_STAMP = _VENV / "uwsgi-http-stamp"
BINARY = _VENV / "bin" / "uwsgi-http"


def ensure(progress: Progress) -> None:
    """Compile it if it is missing or outdated, which takes about a minute. Raises StackError."""
    wanted = _fingerprint()
    with (_VENV / "uwsgi-http.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.step("waiting for another command, which is compiling uWSGI")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if BINARY.exists() and _STAMP.exists() and _STAMP.read_text(encoding="ascii") == wanted:
            return
        programs.ensure(programs.COMPILER, progress)
        progress.step("compiling uWSGI with its http router (about a minute, once)")
        _STAMP.unlink(missing_ok=True)
        _build(progress)
        _STAMP.write_text(wanted, encoding="ascii")


def _fingerprint() -> str:
    digest = hashlib.sha256(PLUGINS.encode())
    for file in (_PROFILE, _PINS):
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def _build(progress: Progress) -> None:
    with tempfile.TemporaryDirectory(prefix="uwsgi-http-", dir=_VENV) as folder:
        code, lines = programs.run_with_progress(
            [os.fspath(_VENV / "bin" / "python"), "-m", "pip", "install", "--require-hashes",
             "--no-cache-dir", "--no-binary=uwsgi", "--no-input", "--progress-bar=off",
             "--disable-pip-version-check", "--verbose", f"--target={folder}",
             f"--requirement={_PINS}"],
            progress,
            {
                **{k: v for k, v in os.environ.items() if not k.startswith("UWSGI_")},
                "UWSGI_PROFILE": os.fspath(_PROFILE),
                "UWSGI_PROFILE_OVERRIDE": PLUGINS,
                "PIP_ROOT_USER_ACTION": "ignore",
            },
        )  # fmt: skip
        made = Path(folder) / "bin" / "uwsgi"
        if code != 0 or not made.exists():
            telling = [line for line in lines if "error" in line.lower()]
            raise StackError(
                "uWSGI with its http router could not be compiled",
                'leave the arms with server = "uwsgi-http" out, or see the lines above',
                log="\n".join((telling or lines)[-8:]),
            )
        fresh = BINARY.with_suffix(".new")
        shutil.copy2(made, fresh)
        fresh.rename(BINARY)
