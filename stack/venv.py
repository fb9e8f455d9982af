"""The checkout's ``.venv``: made from the hashed pins, and kept in step with them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stack import programs
from stack.errors import StackError
from stack.progress import Progress

SERVE = ("app", "server", "local")
DEVELOP = ("app", "local")
TEST = (*SERVE, "loadtest", "lab", "lab-servers", "dev")


class VirtualEnvironment:
    """One directory for every job: `make up` fills it with what it needs, `make test` adds to it.

    A stamp in it holds the hash of every requirement file that went in. What changed since is
    brought up to date in place; another Python, or an installation that was cut off, makes it anew.
    """

    def __init__(self, checkout: Path, progress: Progress) -> None:
        self._checkout = checkout
        self._progress = progress
        self._directory = checkout / ".venv"
        self._stamp = self._directory / "stack-stamp.json"
        self.bin = self._directory / "bin"
        self.python = self.bin / "python"

    def needs(self, groups: Sequence[str]) -> tuple[programs.Need, ...]:
        """What the machine must have for ensure(), to be asked for together with other things."""
        works = self._works()
        compiles = "server" in groups and (
            not works or self._read_stamp().get("server") != self._fingerprint("server")
        )
        return (() if works else programs.VENV) + (programs.COMPILER if compiles else ())

    def ensure(self, groups: Sequence[str]) -> None:
        """Return with every package of *groups* installed. Raises StackError if that fails."""
        with self._alone():
            programs.ensure(self.needs(groups), self._progress)
            stamp = self._read_stamp()
            wanted = {group: self._fingerprint(group) for group in groups}
            outdated = [group for group in groups if stamp.get(group) != wanted[group]]
            if not outdated and self._works():
                return
            if not self._works():
                stamp = {}
                outdated = list(groups)
                self._create()
            self._stamp.unlink(missing_ok=True)
            plain = [group for group in outdated if group != "server"]
            if plain:
                self._progress.step(f"installing Python packages into .venv ({', '.join(plain)})")
                self._pip([], plain, _what_pip_is_at)
            if "server" in outdated:
                self._progress.step("compiling uWSGI with uwsgi/build.ini (about a minute)")
                # pip keeps what it once built and does not know that the profile went into it.
                options = ["--no-cache-dir", "--no-binary=uwsgi", "--force-reinstall", "--verbose"]
                self._pip(options, ["server"], _what_the_compiler_is_at)
            stamp.update(wanted)
            self._stamp.write_text(json.dumps(stamp, indent=2) + "\n", encoding="ascii")

    def _fingerprint(self, group: str) -> str:
        files = [self._checkout / "requirements" / f"{group}.txt"]
        if group == "server":
            files.append(self._checkout / "uwsgi" / "build.ini")
        digest = hashlib.sha256()
        for file in files:
            try:
                digest.update(file.read_bytes() + b"\0")
            except FileNotFoundError:
                name = file.relative_to(self._checkout)
                raise StackError(f"{name} is missing", f"git checkout {name}") from None
        return digest.hexdigest()

    def _read_stamp(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._stamp.read_text(encoding="ascii")))
        except (OSError, ValueError):
            return {}

    def _works(self) -> bool:
        """Whether its Python is still there and of the version that runs this."""
        try:
            text = (self._directory / "pyvenv.cfg").read_text(encoding="utf-8")
        except OSError:
            return False
        version = re.search(r"^version\w*\s*=\s*(\d+\.\d+)", text, re.MULTILINE)
        ours = f"{sys.version_info.major}.{sys.version_info.minor}"
        whole = self.python.exists() and (self.bin / "pip").exists()
        return whole and version is not None and version[1] == ours

    def _create(self) -> None:
        version = ".".join(map(str, sys.version_info[:3]))
        self._progress.step(f"creating .venv (Python {version})")
        shutil.rmtree(self._directory, ignore_errors=True)
        # Run from inside the old .venv, this very Python has just lost its files.
        base = getattr(sys, "_base_executable", sys.executable)
        made = subprocess.run(
            [base, "-m", "venv", str(self._directory)], capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            shutil.rmtree(self._directory, ignore_errors=True)
            said = (made.stdout + made.stderr).strip()
            raise StackError(
                f"{base} cannot make a virtual environment",
                f"apt-get install -y --reinstall {programs.VENV[0].package}, or make up PYTHON=…",
                log="\n".join(said.splitlines()[-8:]),
            )

    def _pip(
        self, options: Sequence[str], groups: Sequence[str], read: Callable[[str], str | None]
    ) -> None:
        files = [f"--requirement={self._checkout / 'requirements' / group}.txt" for group in groups]
        code, lines = programs.run_showing(
            [str(self.python), "-m", "pip", "install", "--require-hashes", "--no-input",
             "--progress-bar=off", "--disable-pip-version-check", *options, *files],
            self._progress,
            environ={
                **{k: v for k, v in os.environ.items() if not k.startswith("UWSGI_")},
                "UWSGI_PROFILE": str(self._checkout / "uwsgi" / "build.ini"),
                "PIP_ROOT_USER_ACTION": "ignore",
            },
            read=read,
        )  # fmt: skip
        if code != 0:
            log = self._checkout / "run" / "pip.log"
            log.write_text("\n".join(lines) + "\n", encoding="utf-8")
            telling = [
                line.strip() for line in lines if re.match(r"\s*(error|fatal)\b", line, re.I)
            ]
            raise StackError(
                "the Python packages could not be installed",
                f"see {log.relative_to(self._checkout)}; then make up again",
                log="\n".join(telling[-6:] or lines[-6:]),
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two copies of the stack may be started at once; the second waits for the first."""
        run = self._checkout / "run"
        run.mkdir(exist_ok=True)
        with (run / "venv.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._progress.step("waiting for another command to finish with .venv")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _what_pip_is_at(line: str) -> str | None:
    match = re.match(
        r"\s*(Collecting|Downloading|Installing collected packages:?|Using cached) ?(\S*)", line
    )
    return f"{match[1].rstrip(':')} {match[2].split(' ')[0].rstrip(',')}" if match else None


def _what_the_compiler_is_at(line: str) -> str | None:
    match = re.search(r"\[gcc[^\]]*\] (\w\S+)|linking (\w\S+)", line) or re.search(
        r"-o (\S+\.o)\b", line
    )
    return f"compiling {next(filter(None, match.groups()))}" if match else _what_pip_is_at(line)
