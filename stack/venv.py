"""The checkout's ``.venv``: created from the hashed pins, and updated with them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from stack import programs, project
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.progress import Progress


def every_pin_file(checkout: Path = CHECKOUT) -> tuple[Path, ...]:
    """Return every file with pins in *checkout*: what linters and tests need.

    Those of a unit are in the ``requirements/`` of its folder. No two have the same name.
    """
    found = (*checkout.glob("requirements/*.txt"), *checkout.glob("*/requirements/*.txt"))
    files = sorted(file.relative_to(checkout) for file in found)
    return tuple(file for file in files if project.FOLDER not in file.parents)


_SERVER = Path("requirements/server.txt")
DEVELOP = (Path("requirements/app.txt"), Path("requirements/local.txt"), project.PINS)
SERVE = (*DEVELOP, _SERVER)
LOADTEST = (Path("requirements/loadtest.txt"),)


class VirtualEnvironment:
    """One directory for all commands: each installs what it needs on top of what is there.

    A stamp in the directory holds the hash of each installed file of pins. A changed file is
    installed again in place. Another version of Python gets a new directory.
    """

    def __init__(self, checkout: Path, progress: Progress, directory: Path | None = None) -> None:
        self._checkout = checkout
        self._progress = progress
        self._directory = directory or checkout / ".venv"
        self._stamp = self._directory / "stack-stamp.json"
        self.bin = self._directory / "bin"
        self.python = self.bin / "python"

    def needs(self, files: Sequence[Path]) -> tuple[programs.Need, ...]:
        """Return what ensure(*files*) needs on the machine, to be checked with other needs."""
        works = self._works()
        compiles = (
            _SERVER in files
            and (not works or self._read_stamp().get(_SERVER.stem) != self._fingerprint(_SERVER))
            and not self._wheels().exists()
        )
        return (() if works else programs.VENV) + (programs.COMPILER if compiles else ())

    def has(self, files: Sequence[Path]) -> bool:
        """Whether the packages that *files* pin are installed."""
        stamp = self._read_stamp()
        return self._works() and all(stamp.get(f.stem) == self._fingerprint(f) for f in files)

    def ensure(self, files: Sequence[Path]) -> None:
        """Install every package that *files* pin. Raises StackError if that fails."""
        with self._locked():
            programs.ensure(self.needs(files), self._progress)
            stamp = self._read_stamp()
            wanted = {file: self._fingerprint(file) for file in files}
            outdated = [file for file in files if stamp.get(file.stem) != wanted[file]]
            if not outdated and self._works():
                return
            if not self._works():
                stamp, outdated = {}, list(files)
                self._create()
            # Last, and again after any other: the app's versions take precedence.
            for file in (*outdated, project.PINS):
                stamp.pop(file.stem, None)
            self._write_stamp(stamp)
            plain = [file for file in outdated if file not in (_SERVER, project.PINS)]
            if plain:
                names = ", ".join(file.stem for file in plain)
                self._progress.step(f"installing Python packages ({names})")
                self._pip(["install", "--require-hashes"], plain)
            if _SERVER in outdated:
                self._install_server()
            if project.PINS in files:
                self._progress.step(f"installing the packages of {project.PINS}")
                self._pip(["install"], [project.PINS])
            stamp.update({file.stem: wanted[file] for file in files})
            self._write_stamp(stamp)

    def _install_server(self) -> None:
        wheels = self._wheels()
        if not wheels.exists():
            self._progress.step("compiling uWSGI with uwsgi/build.ini (about a minute)")
            draft = Path(tempfile.mkdtemp(dir=wheels.parent))
            try:
                # pip's cache does not know that the build profile went into a wheel.
                options = ["--no-cache-dir", "--no-binary=uwsgi", "--verbose"]
                self._pip(
                    ["wheel", "--require-hashes", *options, f"--wheel-dir={draft}"], [_SERVER]
                )
                draft.rename(wheels)
            except OSError:  # another checkout was faster
                if not wheels.exists():
                    raise
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        found = map(os.fspath, wheels.glob("*.whl"))
        self._pip(["install", "--no-index", "--no-deps", "--force-reinstall", *found], [])

    def _wheels(self) -> Path:
        """Return the folder for the server's wheels: all checkouts of a user share it.

        Its name says what went into them: the pins, the build profile and the interpreter.
        """
        interpreter = f"{Path(sys.executable).resolve()} {sys.version} {sysconfig.get_platform()}"
        inputs = f"{self._fingerprint(_SERVER)} {interpreter}"
        try:
            caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            folder = Path(caches) / "flask-uwsgi-stack"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # a user without a home
            folder = self._checkout / "run"
        return folder / f"wheels-{hashlib.sha256(inputs.encode()).hexdigest()[:16]}"

    def _fingerprint(self, file: Path) -> str:
        sources = [file, Path("uwsgi/build.ini")] if file == _SERVER else [file]
        for source in sources:
            if not (self._checkout / source).exists():
                raise StackError(f"{source} is missing", f"git checkout {source}")
        content = [(self._checkout / source).read_bytes() + b"\0" for source in sources]
        return hashlib.sha256(b"".join(content)).hexdigest()

    def _read_stamp(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._stamp.read_text(encoding="ascii")))
        except (OSError, ValueError):
            return {}

    def _write_stamp(self, stamp: Mapping[str, str]) -> None:
        fresh = self._stamp.with_suffix(".new")
        fresh.write_text(json.dumps(stamp, indent=2) + "\n", encoding="ascii")
        fresh.rename(self._stamp)

    def _works(self) -> bool:
        """Whether its Python exists and has the version of the one that runs this."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        library = self._directory / "lib" / f"python{version}"
        return library.is_dir() and self.python.exists() and (self.bin / "pip").exists()

    def _create(self) -> None:
        version = ".".join(map(str, sys.version_info[:3]))
        self._progress.step(f"creating {self._directory.name} (Python {version})")
        shutil.rmtree(self._directory, ignore_errors=True)
        # If this is the old .venv's Python, its files are gone now.
        base = getattr(sys, "_base_executable", sys.executable)
        made = subprocess.run(
            [base, "-m", "venv", str(self._directory)], capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise StackError(
                f"{base} cannot create a virtual environment",
                f"apt-get install -y --reinstall {programs.VENV[0].package}, or make up PYTHON=…",
                log="\n".join((made.stdout + made.stderr).strip().splitlines()[-8:]),
            )

    def _pip(self, command: Sequence[str], files: Sequence[Path]) -> None:
        requirements = [f"--requirement={self._checkout / file}" for file in files]
        code, lines = programs.run_with_progress(
            [str(self.python), "-m", "pip", *command, "--no-input", "--progress-bar=off",
             "--disable-pip-version-check", *requirements],
            self._progress,
            {
                **{k: v for k, v in os.environ.items() if not k.startswith("UWSGI_")},
                "UWSGI_PROFILE": str(self._checkout / "uwsgi" / "build.ini"),
                "PIP_ROOT_USER_ACTION": "ignore",
            },
        )  # fmt: skip
        if code != 0:
            log = self._checkout / "run" / "pip.log"
            log.write_text("\n".join(lines) + "\n", encoding="utf-8")
            errors = [line for line in lines if re.match(r"\s*(error|fatal)\b", line, re.I)]
            raise StackError(
                "the Python packages could not be installed",
                f"see {log.relative_to(self._checkout)}, then repeat the command",
                log="\n".join(errors[-6:] or lines[-6:]),
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Serialise commands that start at the same time."""
        run = self._checkout / "run"
        run.mkdir(exist_ok=True)
        with (run / "venv.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._progress.step("waiting for another command to finish with .venv")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def run_python(
    arguments: Sequence[str], files: Sequence[Path], checkout: Path = CHECKOUT, **variables: str
) -> int:
    """Run the .venv's Python with the pins of *files* installed; return its exit code.

    *variables* are added to its environment.

    Raises StackError when they cannot be installed. The program handles Ctrl-C and SIGTERM itself.
    """
    venv = VirtualEnvironment(checkout, Progress.to_terminal())
    venv.ensure(files)
    path = os.pathsep.join([os.fspath(venv.bin), programs.SEARCH_PATH])
    environ = {**os.environ, "PATH": path, **variables}
    command = [os.fspath(venv.python), *arguments]
    with subprocess.Popen(command, cwd=checkout, env=environ) as process:
        # make sends SIGTERM to us alone.
        before = signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        try:
            while True:
                try:
                    return process.wait()
                except KeyboardInterrupt:
                    # The terminal sent it to the program as well, which stops its servers first.
                    continue
        finally:
            signal.signal(signal.SIGTERM, before)
