"""Copies of the repository, one for each kind of arm that has files of its own.

An arm with `ref`, `without`, `env`, `nginx`, `python` or `requirements` is started by the stack's
code of its own copy, as `make up RUNTIME=local` would in a checkout of that commit. A copy is in
``run/lab/trees/``, is never changed after it was made, and is used again by later runs. Its .venv
is this checkout's if the pins and the interpreter are the same; otherwise its own code makes one.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from lab.measure import machine
from lab.measure.instances import LocalInstance, kill
from lab.plan import canary
from lab.plan.arms import ArmSpec
from lab.plan.sources import WORKING_TREE, NoSuchCommit, files, resolve
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.local.state import State
from stack.progress import Progress
from toggles import TOGGLES

FOLDER = CHECKOUT / "run" / "lab" / "trees"
# More are deleted, those that were not used for the longest time first.
KEPT = 12
# The first start may compile uWSGI.
START_S = 900.0
_LINES_OF_LOG = 15

# The files that decide which packages a .venv has.
_PINS = ("requirements/*.txt", "uwsgi/build.ini", "project/requirements.txt")
# The name under which a copy finds this lab's canaries: it may have a lab/ of its own.
_CANARY = "lab_canary"
NOT_INHERITED = re.compile(r"STACK_.*|UWSGI_.*|NGINX_.*|RUNTIME|VIRTUAL_ENV|PYTHONHOME|MAKE.*")
_DIRECTIVE = re.compile(r"^[ \t]*([a-z_]+)[ \t]+[^;{}]+;[ \t]*$", re.MULTILINE)


def of(spec: ArmSpec) -> Path:
    """The copy for *spec*, made if there is none. Raises StackError."""
    try:
        commit = resolved(spec.ref or WORKING_TREE)
    except NoSuchCommit as error:
        raise StackError(str(error)) from error
    parts = [commit, spec.without, spec.ini, spec.nginx, spec.python, spec.requirements]
    # A copy that shares .venv would change it after the pins here have changed.
    own = [Path(canary.__file__), *(CHECKOUT / "project").glob("*.env")]
    others = [*_pins(CHECKOUT).items(), *((file, file.read_bytes()) for file in own)]
    key = hashlib.sha256(json.dumps(parts).encode())
    for file, content in sorted(others):
        key.update(f"{file}\0{len(content)}\0".encode() + content)
    tree = FOLDER / key.hexdigest()[:16]
    with _locked():
        if not tree.is_dir():
            _prune()
            draft = tree.with_suffix(".new")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            _fill(draft, spec.ref or WORKING_TREE, commit)
            _change(draft, spec)
            draft.rename(tree)
        os.utime(tree)
    return tree


@cache
def resolved(ref: str) -> str:
    """The commit of *ref* when this process first asked: a branch may move during a run."""
    return resolve(ref)


def _fill(tree: Path, ref: str, commit: str) -> None:
    if ref == WORKING_TREE:
        copy_working_tree(tree)
        return
    done = subprocess.run(
        ["git", "-C", CHECKOUT, "archive", commit], capture_output=True, check=False
    )
    if done.returncode:
        raise StackError(f"git archive {commit} failed", log=done.stderr.decode())
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(tree, filter="tar")
    for file in (CHECKOUT / "project").glob("*.env"):  # never committed
        with suppress(FileNotFoundError):
            shutil.copy2(file, tree / "project" / file.name)


def copy_working_tree(to: Path) -> None:
    for name in files():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, to / name, follow_symlinks=False)


def _change(tree: Path, spec: ArmSpec) -> None:
    """Apply what the arm changes, and link the .venv if it is the same."""
    canaries = tree / "run" / "lab-canary"
    canaries.mkdir(parents=True)
    shutil.copy2(canary.__file__, canaries / f"{_CANARY}.py")
    if spec.without:
        _leave_out(tree, spec.without)
    try:
        if spec.ini:
            with (tree / "uwsgi" / "uwsgi.ini").open("a", encoding="utf-8") as file:
                file.write("\n".join(("", *spec.ini, "")))
        if spec.nginx:
            with_directives(tree / "nginx", spec.nginx)
        if spec.requirements:
            with (tree / "project" / "requirements.txt").open("a", encoding="utf-8") as file:
                file.write("\n".join(("", *spec.requirements, "")))
    except OSError as error:
        raise StackError(f"{spec.ref}: {error}") from error
    if _pins(tree) == _pins(CHECKOUT) and not spec.python and (CHECKOUT / ".venv").is_dir():
        (tree / ".venv").symlink_to((CHECKOUT / ".venv").resolve())


def _leave_out(tree: Path, units: Sequence[str]) -> None:
    """Do what `make new` does for a copy without *units*."""
    if not (tree / "template").is_dir():
        raise StackError(f"without = {list(units)}: only the template can leave units out")
    done = subprocess.run(
        [sys.executable, "-B", "-m", "template.tree", TOGGLES["STACK_NAME"].default, *units],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise StackError(f"without = {list(units)}: {reason}")


def with_directives(nginx: Path, text: str) -> None:
    """Put the directives of *text* into the configuration of *nginx*.

    A directive that the files set exactly once gets the new value there, because nginx refuses a
    second one. Any other goes to the end of the http block.
    """
    sources = [nginx / "nginx.conf", *nginx.glob("snippets/*.conf"), *nginx.glob("templates/*")]
    added = []
    blocks = _DIRECTIVE.sub("", text) if "{" not in text else text
    for found in _DIRECTIVE.finditer(text) if "{" not in text else ():
        old = re.compile(rf"^([ \t]*){found[1]}[ \t]+[^;{{}}]+;", re.MULTILINE)
        places = [(f, m) for f in sources for m in old.finditer(f.read_text(encoding="utf-8"))]
        if len(places) == 1:
            file, place = places[0]
            whole = file.read_text(encoding="utf-8")
            new = f"{place[1]}{found[0].strip()}"
            file.write_text(whole[: place.start()] + new + whole[place.end() :], encoding="utf-8")
        else:
            added.append(found[0].strip())
    if blocks.strip():
        added.append(blocks.strip())
    if added:
        main = nginx / "nginx.conf"
        head, brace, _ = main.read_text(encoding="utf-8").rpartition("}")
        main.write_text("\n".join((head, *added, brace, "")), encoding="utf-8")


def _pins(checkout: Path) -> dict[Path, bytes]:
    """The files that decide which packages are installed, with their contents."""
    found = (file for pattern in _PINS for file in checkout.glob(pattern))
    return {file.relative_to(checkout): file.read_bytes() for file in found}


def _prune() -> None:
    trees = sorted(FOLDER.glob("*"), key=lambda tree: tree.stat().st_mtime, reverse=True)
    for tree in trees[KEPT:]:
        if not any(tree.glob("run/*/state.json")):
            shutil.rmtree(tree, ignore_errors=True)


@contextmanager
def _locked(name: str = "lock") -> Iterator[None]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER.parent / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class TreeRuntime(LocalRuntime):
    """A copy of the stack that the code in *tree* starts."""

    def __init__(self, spec: ArmSpec, environ: Mapping[str, str], tree: Path) -> None:
        known = (tree / ".env.example").read_text(encoding="utf-8")
        absent = [name for name in spec.settings if name not in known]
        if absent:
            raise StackError(f"{spec.ref} does not know {', '.join(absent)}")
        name = f"lab-{secrets.token_hex(4)}"
        # Settings of the lab that an older commit does not know change nothing there.
        environ = {key: value for key, value in environ.items() if key in known}
        super().__init__(
            {**environ, "STACK_NAME": name}, tree, run_dir=tree / "run" / name, progress=Progress()
        )
        base: str = getattr(sys, "_base_executable", sys.executable)
        self._python: str = (spec.python and shutil.which(spec.python)) or base
        self._own = dict(spec.env)

    def prepare(self) -> None:
        """Let the copy's code install packages, by a first start that is not measured."""
        ready = self._checkout / "run" / "lab-canary" / "ready"
        if not ready.exists():
            with _locked(f"{self._checkout.name}.lock"):
                if not ready.exists():
                    self.up()
                    self.end()
                    ready.touch()

    def up(self, services: Sequence[str] = ()) -> None:  # noqa: ARG002 - all of them
        try:
            self.command("up")
        except BaseException:
            self.end()
            raise
        self.toggles |= self.state().toggles
        if self.toggles["STACK_PROCESSES"] == "auto":
            lazy = self.toggles["STACK_LAZY_APPS"] != "off"
            self.toggles["STACK_PROCESSES"] = str(machine.processes(lazy=lazy))

    def command(self, name: str) -> None:
        """Run ``python -m stack NAME`` of the copy. Raises StackError with the end of its log."""
        inherited = {k: v for k, v in os.environ.items() if not NOT_INHERITED.fullmatch(k)}
        search = [str(self._checkout / "run" / "lab-canary"), os.environ.get("PYTHONPATH", "")]
        settings = {
            key: value.replace(f"{canary.__name__}:", f"{_CANARY}:")
            for key, value in self._settings.items()
        }
        with subprocess.Popen(
            [self._python, "-m", "stack", name],
            cwd=self._checkout,
            env={
                **inherited, **self._own, **settings,
                "RUNTIME": "local", "PYTHONPATH": os.pathsep.join(filter(None, search)),
            },
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True,
        ) as process:  # fmt: skip
            try:
                output = process.communicate(timeout=START_S)[0]
            except BaseException as error:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise StackError(f"`stack {name}` took more than {START_S:g} s") from None
                raise
        if process.returncode:
            lines = output.strip().splitlines()[-_LINES_OF_LOG:]
            raise StackError(f"`python -m stack {name}` of its files failed", log="\n".join(lines))

    def end(self) -> None:
        """Kill what runs and delete its files."""
        state = State.load(self.run_dir / "state.json")
        if state is not None:
            kill(state.processes)
            run = Path(state.run)
            if run.is_symlink():
                shutil.rmtree(run.parent, ignore_errors=True)
        shutil.rmtree(self.run_dir, ignore_errors=True)


class TreeInstance(LocalInstance):
    """Local processes of a copy."""

    def __init__(self, spec: ArmSpec, environ: Mapping[str, str]) -> None:
        self.runtime: TreeRuntime = TreeRuntime(spec, environ, of(spec))
        self.runtime.prepare()

    def reload(self) -> None:
        self.runtime.command("reload")

    def stop(self) -> None:
        self.runtime.end()
