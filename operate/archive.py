"""The file of a backup: a compressed tar archive, encrypted if a recipient is set.

    redis.rdb      the data of Redis
    secrets/NAME   the secrets of the stack, if they were asked for
    backup.json    written last: format, name of the copy, time, counts, SHA-256 of each other file

An archive without the last file, or with another hash, is damaged.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stack.errors import StackError

FORMAT = "flask-uwsgi-stack backup 1"
DATA = "redis.rdb"
_MANIFEST = "backup.json"
_MEMBER = re.compile(r"redis\.rdb|backup\.json|secrets/[a-z-]{1,40}(\.[a-z]{1,10})?")
_GZIP = b"\x1f\x8b"
_AGE = b"age-encryption.org/v1"


class Writer:
    """Writes an archive of the copy *name*. `finish` makes it whole."""

    def __init__(self, sink: IO[bytes], name: str) -> None:
        self._tar = tarfile.open(mode="w|gz", fileobj=sink)  # noqa: SIM115 - `finish` closes it
        self._name = name
        self._hashes: dict[str, str] = {}

    def add(self, name: str, size: int, content: IO[bytes]) -> None:
        """Add a file of *size* bytes."""
        hashing = _Hashing(content)
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, 0o600, int(time.time())
        self._tar.addfile(member, hashing)
        self._hashes[name] = hashing.digest.hexdigest()

    def finish(self, facts: Mapping[str, Any]) -> None:
        manifest = {"format": FORMAT, "name": self._name, **facts, "sha256": self._hashes}
        text = json.dumps(manifest, indent=2).encode() + b"\n"
        self.add(_MANIFEST, len(text), io.BytesIO(text))
        self._tar.close()


class _Hashing(io.RawIOBase):
    def __init__(self, content: IO[bytes]) -> None:
        super().__init__()
        self._content = content
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._content.read(size)
        self.digest.update(chunk)
        return chunk


@contextmanager
def encrypting(file: Path, recipient: str) -> Iterator[IO[bytes]]:
    """Open a new *file*, mode 0600, for writing; without an exception it is complete on disk.

    *recipient*: of age (`age1…`, `ssh-…`, or a file with such lines), else a key of gpg; "" writes
    plain text. Raises StackError if the program fails, and FileExistsError.
    """
    program = encryption(recipient)
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            if program:
                with _program(program, stdin=subprocess.PIPE, stdout=out) as process:
                    assert process.stdin is not None  # noqa: S101 - a pipe, as requested
                    yield process.stdin
            else:
                yield out
            out.flush()
            os.fsync(out.fileno())
        file.hardlink_to(part)
    finally:
        part.unlink(missing_ok=True)


def encryption(recipient: str) -> list[str]:
    """Return the command that encrypts for *recipient*; nothing for "". Raises StackError."""
    if not recipient:
        return []
    if recipient.startswith(("age1", "ssh-")) or Path(recipient).is_file():
        option = "--recipients-file" if Path(recipient).is_file() else "--recipient"
        return [_installed("age"), "--encrypt", option, recipient]
    gpg = [_installed("gpg"), "--batch", "--quiet", "--trust-model", "always"]
    known = subprocess.run([*gpg, "--list-keys", recipient], capture_output=True, check=False)
    if known.returncode != 0:
        raise StackError(
            f"BACKUP_RECIPIENT={recipient!r} is no recipient of age, and gpg has no such key",
            "give age1…, a file with recipients, or a key of `gpg --list-keys`",
        )
    return [*gpg, "--encrypt", "--recipient", recipient]


def suffix(recipient: str) -> str:
    """Return the end of a file's name that says how it is encrypted."""
    program = encryption(recipient)
    return f".{Path(program[0]).name}" if program else ""


def read(file: Path, to: Path, identity: str) -> dict[str, Any]:
    """Write the members of an archive into the directory *to*; return its backup.json.

    *identity*: the file of an age identity. Raises StackError, which says what is wrong with the
    file, if it is not a whole backup.
    """
    try:
        with file.open("rb") as stream:
            first = stream.read(len(_AGE))
    except OSError as error:
        raise StackError(f"FILE={file}: {error.strerror}") from error
    program = _decryption(file, first, identity)
    hashes: dict[str, str] = {}
    damaged = f"{file} is damaged or was cut off"
    try:
        # gzip's reader checks the sum at the end; tarfile's own does not.
        with (
            _opened(file, program) as source,
            gzip.GzipFile(fileobj=source) as plain,
            tarfile.open(mode="r|", fileobj=plain) as tar,
        ):
            for member in tar:
                if not member.isfile() or not _MEMBER.fullmatch(member.name):
                    raise StackError(f"{file} is not a backup of this stack: it has {member.name}")
                content = tar.extractfile(member)
                assert content is not None  # noqa: S101 - a regular file
                hashing = _Hashing(content)
                target = to / member.name
                target.parent.mkdir(mode=0o700, exist_ok=True)
                with target.open("xb") as out:
                    shutil.copyfileobj(hashing, out)
                hashes[member.name] = hashing.digest.hexdigest()
            while plain.read(1 << 20):
                pass
    except (EOFError, zlib.error, OSError) as error:
        raise StackError(f"{damaged} ({error})") from error
    except tarfile.TarError as error:
        # An archive of another kind, or the first block is damaged.
        what = damaged if hashes else f"{file} is not a backup of this stack, or is damaged"
        raise StackError(f"{what} ({error})") from error
    hashes.pop(_MANIFEST, None)
    try:
        manifest = json.loads((to / _MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StackError(f"{damaged}: it has no {_MANIFEST}") from None
    except ValueError as error:
        raise StackError(f"{damaged}: {_MANIFEST} cannot be read") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StackError(f"{file} is not a backup of this version of the stack")
    if manifest.get("sha256") != hashes or DATA not in hashes:
        raise StackError(f"{damaged}: its files are not those of its {_MANIFEST}")
    return manifest


def _decryption(file: Path, first: bytes, identity: str) -> list[str]:
    if first.startswith(_GZIP):
        return []
    if first.startswith(_AGE):
        if not identity:
            raise StackError(
                f"{file} is encrypted by age", "set BACKUP_IDENTITY=the file of an identity"
            )
        return [_installed("age"), "--decrypt", "--identity", identity]
    # The packet of an OpenPGP message that comes first: an encrypted session key.
    if first[:1] in (b"\x84", b"\x85", b"\xc1", b"\x8c", b"\xc3"):
        return [_installed("gpg"), "--batch", "--quiet", "--decrypt"]
    raise StackError(f"{file} is not a backup: neither compressed nor encrypted by age or gpg")


@contextmanager
def _opened(file: Path, program: list[str]) -> Iterator[IO[bytes]]:
    with file.open("rb") as stream:
        if not program:
            yield stream
            return
        with _program(program, stdin=stream, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # noqa: S101 - a pipe, as requested
            yield process.stdout


@contextmanager
def _program(command: list[str], **pipes: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of encryption. Its own message explains a broken pipe or archive."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, **pipes) as process:
        fault: Exception | None = None
        try:
            yield process
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            fault = error
        except BaseException:
            process.kill()
            raise
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                _close(pipe.close)
        assert process.stderr is not None  # noqa: S101 - a pipe, as requested
        log = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0:
            raise StackError(f"{Path(command[0]).name} failed", log=log) from fault
        if fault is not None:
            raise fault


def _close(close: Callable[[], None]) -> None:
    try:
        close()
    except BrokenPipeError:
        return  # the program's exit code says why


def _installed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise StackError(f"{program} is not installed", f"apt-get install {program}")
    return path
