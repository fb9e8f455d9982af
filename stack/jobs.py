"""The commands around the stack: tests, linters, load tests, pins, clean."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack import programs
from stack.checkout import CHECKOUT
from stack.choose import choose, engine_fault, running
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from stack.project import FOLDER
from stack.venv import LOADTEST, VirtualEnvironment, every_pin_file, run_python
from toggles import PREFIX


def test(environ: Mapping[str, str]) -> int:
    """Run the linters, then pytest; with ARGS only pytest (`-n0`: one test after the other)."""
    # Tests wait for servers half of the time, so two workers more than cores. tests/needs.py orders
    # and groups them.
    workers = str((os.cpu_count() or 1) + 2)
    pytest = ["-m", "pytest", "-n", workers, "--dist", "loadgroup", "--no-loadscope-reorder"]
    if environ.get("ARGS"):
        return run_python([*pytest, *shlex.split(environ["ARGS"])], every_pin_file())
    programs.ensure(programs.SERVERS, Progress.to_terminal())
    linted = lint(environ)
    # pytest is last: its closing line is what a reader and a CI look for.
    return run_python(pytest, every_pin_file()) or linted


def lint(environ: Mapping[str, str]) -> int:  # noqa: ARG001 - a command like the others
    """Run each linter on its files. A unit that was deleted is not missed; the rest is named."""
    progress = Progress.to_terminal()
    venv = VirtualEnvironment(CHECKOUT, progress)
    venv.ensure(every_pin_file())
    programs.ensure((programs.SHELLCHECK,), progress)
    tracked = _tracked()
    folders = sorted({name.partition("/")[0] for name in tracked if "/" in name})
    progress.step(f"{len(tracked)} files in {', '.join(folders)}")
    scripts = [name for name in tracked if _is_shell(CHECKOUT / name)]
    dockerfiles = [name for name in tracked if Path(name).name == "Dockerfile"]
    yaml = [name for name in tracked if name.endswith((".yml", ".yaml"))]
    failed = []
    for tool, arguments in (
        ("ruff", ["check", "--quiet", "."]),
        ("mypy", ["--no-error-summary"]),
        ("shellcheck", scripts),
        ("hadolint", dockerfiles),
        ("yamllint", ["--strict", *yaml]),
        ("codespell", tracked),
    ):
        path = venv.bin / tool
        command = [os.fspath(path) if path.exists() else tool, *arguments]
        if subprocess.run(command, cwd=CHECKOUT, check=False).returncode != 0:
            failed.append(tool)
    print(f"lint: {', '.join(failed)} found something" if failed else "lint: nothing found")
    return 1 if failed else 0


def loadtest(environ: Mapping[str, str]) -> int:
    """Run PROFILE headless, or open Locust's page; against HOST or the running stack."""
    if not (CHECKOUT / "loadtest").is_dir():
        raise StackError("this checkout has no loadtest/", "git checkout -- loadtest")
    profile = environ.get("PROFILE")
    host = environ.get("HOST", "")
    workers = environ.get("WORKERS")
    arguments = ["-m", "loadtest", *(["--profile", profile] if profile else [])]
    arguments += [*([f"--workers={workers}"] if workers else []), "--host"]
    # A wrong option is reported before anything is installed: the check needs no package.
    check = [sys.executable, *arguments, host or "http://127.0.0.1", "--check"]
    if code := subprocess.run(check, cwd=CHECKOUT, check=False).returncode:
        return code
    stack = None if host else running(environ, "make up, or make loadtest HOST=…")
    accounts = f"lt-{secrets.token_hex(4)}-"
    try:
        address = stack.address() if stack else host
        return run_python([*arguments, address], LOADTEST, LOADTEST_ACCOUNTS=accounts)
    finally:
        # Another app or another machine's stack has no such command here.
        if stack is None or stack.flask("user", "purge", "--yes", accounts, quiet=True) != 0:
            print(f"loadtest: accounts whose names begin with {accounts} may be left")


def pins(environ: Mapping[str, str]) -> int:
    """Write the pins of every dependency group that a pyproject.toml declares; print what changed.

    The present pins are constraints, so a new dependency moves no other package. UPGRADE=1 takes
    the newest versions that pyproject.toml allows. To upgrade one package, delete its pin first.
    """
    upgrade = environ.get("UPGRADE") == "1"
    written: list[Path] = []
    changes: set[tuple[str, str, str]] = set()
    uv = shutil.which("uv")
    if uv is None:
        venv = VirtualEnvironment(CHECKOUT, Progress.to_terminal())
        venv.ensure([Path("requirements/pins.txt")])
        uv = os.fspath(venv.bin / "uv")
    # The root's groups first: a unit is installed beside them and has to agree with them.
    units = [file for file in CHECKOUT.glob("*/pyproject.toml") if file.parent.name != FOLDER.name]
    for project in (CHECKOUT / "pyproject.toml", *sorted(units)):
        groups = tomllib.loads(project.read_text(encoding="utf-8")).get("dependency-groups", {})
        for group in groups:
            file = project.parent / "requirements" / f"{group}.txt"
            print(f"  {file.relative_to(CHECKOUT)}", flush=True)
            with tempfile.TemporaryDirectory() as scratch:
                constraints = Path(scratch, "constraints.txt")
                known = written if upgrade else every_pin_file()
                constraints.write_text(_versions(known), encoding="utf-8")
                done = subprocess.run(
                    [uv, "pip", "compile", "--quiet", "--universal", "--python-version=3.11",
                     f"--group={project}:{group}", f"--constraints={constraints}",
                     "--generate-hashes", "--no-annotate", "--no-header"],
                    cwd=CHECKOUT, capture_output=True, text=True, check=False,
                )  # fmt: skip
            if done.returncode != 0:
                raise StackError(f"uv cannot resolve the group {group}", log=done.stderr.strip())
            file.parent.mkdir(exist_ok=True)
            before = file.read_text(encoding="utf-8") if file.exists() else ""
            after = with_old_hashes(done.stdout, before)
            file.write_text(after, encoding="utf-8")
            written.append(file)
            changes |= set(pin_changes(before, after))
    for row in [("package", "before", "now"), *sorted(changes)] if changes else []:
        print("{:<28}{:<14}{}".format(*row))
    return 0


def pin_changes(before: str, after: str) -> list[tuple[str, str, str]]:
    """Return name, version before and now of each package that differs; `-` for none."""
    old, new = (
        dict(re.findall(r"^([\w.\[\]-]+)==([^\s;]+)", text, re.MULTILINE))
        for text in (before, after)
    )
    names = sorted({*old, *new})
    rows = [(name, old.get(name, "-"), new.get(name, "-")) for name in names]
    return [row for row in rows if row[1] != row[2]]


def with_old_hashes(pins: str, before: str) -> str:
    """Return *pins* with the hashes of *before* for each version that was pinned already.

    An index lists more files of a version over time, or others than another index, and uv pins all.
    """

    def hashes(text: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in text.splitlines():
            if not line.startswith(" "):
                version = line.split()[0]
            found.setdefault(version, []).append(line)
        return found

    old = hashes(before)
    lines = [
        line
        for version, (head, *fresh) in hashes(pins).items()
        for line in (head, *old.get(version, [head, *fresh])[1:])
    ]
    return "\n".join(lines) + "\n"


def _versions(files: Sequence[Path]) -> str:
    """Return the lines of *files* that name a package and its version, without the hashes."""
    lines = {
        line.rstrip(" \\")
        for file in files
        for line in (CHECKOUT / file).read_text(encoding="utf-8").splitlines()
        if re.match(r"[A-Za-z0-9]", line)
    }
    return "\n".join(sorted(lines)) + "\n"


def template_diff(environ: Mapping[str, str]) -> int:
    """Print the changes of TEMPLATE, a checkout of the template, since this copy was made."""
    if not (CHECKOUT / ".template-version").exists():
        raise StackError("there is no .template-version", "only a copy by `make new` has one")
    template = Path(environ.get("TEMPLATE", "")).expanduser()
    if not (template / "template").is_dir():
        raise StackError(
            f"TEMPLATE={environ.get('TEMPLATE', '')!r} is not a checkout of the template",
            "clone it, then make template-diff TEMPLATE=../its-folder",
        )
    command = [sys.executable, "-m", "template", "template-diff"]
    return subprocess.run(command, cwd=template, env={**environ, "COPY": os.fspath(CHECKOUT)},
                          check=False).returncode  # fmt: skip


def clean(environ: Mapping[str, str]) -> int:
    """Stop this copy and delete what belongs to it, after a question; YES=1 answers it."""
    progress = Progress.to_terminal()
    local = LocalRuntime(named(environ), progress=progress)
    folders = [local.run_dir]
    others = [f.name for f in CHECKOUT.glob("run/*") if f.is_dir() and f != local.run_dir]
    if not others:
        shared = ("run", "results", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache")
        folders += [CHECKOUT / name for name in shared]
    folders = [folder for folder in folders if folder.exists()]
    engine = engine_fault() is None
    if engine:
        # Raises StackError if another checkout has containers of this name.
        choose({**named(environ), "RUNTIME": "compose"})
    print(f"This deletes, with the data and secrets of {local.name}:")
    if engine:
        print(f"  the containers, volumes and images of {local.name}")
    for folder in folders:
        print(f"  {folder.relative_to(CHECKOUT)}/")
    if others:
        print(f"It keeps run/ and .venv/ for {', '.join(others)}.")
    _confirm(environ)
    local.down()
    if engine:
        progress.step("removing containers, networks, volumes and images")
        # With the volume for certificates.
        containers = ComposeRuntime(
            {**named(environ), "STACK_TLS": "on"},
            progress=progress,
            files=list(CHECKOUT.glob("certificates/compose.yml")),
        )
        containers.down(volumes=True)
        containers.remove_images()
        containers.remove_leftovers()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    for cache in CHECKOUT.rglob("__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)
    return 0


def named(environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* with no other toggle than the name of the copy."""
    return {k: v for k, v in environ.items() if not k.startswith(PREFIX) or k == "STACK_NAME"}


def _confirm(environ: Mapping[str, str]) -> None:
    if environ.get("YES") == "1":
        return
    answer = input("Type yes to continue: ") if sys.stdin.isatty() else ""
    if answer.strip() != "yes":
        raise StackError("nothing was deleted", "type yes, or make clean YES=1")


def _tracked() -> Sequence[str]:
    """Return our files: the app in project/ has rules of its own."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", f":!{FOLDER}"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [name for name in listed.stdout.splitlines() if (CHECKOUT / name).is_file()]
    # A checkout without git.
    left_out = (".venv", "run", "results", FOLDER.name)
    files = (path.relative_to(CHECKOUT) for path in CHECKOUT.rglob("*") if path.is_file())
    return sorted(str(file) for file in files if file.parts[0] not in left_out)


def _is_shell(file: Path) -> bool:
    with file.open("rb") as stream:
        return re.match(rb"#!.*\b(ba)?sh\s*$", stream.readline(40)) is not None
