"""The jobs around the stack: testing, linting, loading, pinning, and taking everything away."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack import programs
from stack.base_image import make_base_image
from stack.checkout import CHECKOUT
from stack.choose import choose, engine_trouble
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from stack.progress import Progress
from stack.venv import TEST, VirtualEnvironment


def test(environ: Mapping[str, str]) -> int:
    """Linters, then pytest. ARGS goes to pytest and then stands for the whole job."""
    if environ.get("ARGS"):
        return _python("-m", "pytest", *shlex.split(environ["ARGS"]))
    linted = lint(environ)
    # Last, because its closing line is what a reader and a CI look for.
    return _python("-m", "pytest") or linted


def lint(environ: Mapping[str, str]) -> int:  # noqa: ARG001 - a command like the others
    """Every linter over every file that is its own; each must find nothing."""
    progress = Progress.to_terminal()
    venv = VirtualEnvironment(CHECKOUT, progress)
    venv.ensure(TEST)
    programs.ensure((*programs.SERVERS, programs.SHELLCHECK), progress)
    scripts = [name for name in _tracked() if _is_shell(CHECKOUT / name)]
    dockerfiles = [name for name in _tracked() if Path(name).name == "Dockerfile"]
    yaml = [name for name in _tracked() if name.endswith((".yml", ".yaml"))]
    failed = []
    for tool, arguments in (
        ("ruff", ["check", "--quiet", "."]),
        ("mypy", ["--no-error-summary"]),
        ("shellcheck", scripts),
        ("hadolint", dockerfiles),
        ("yamllint", ["--strict", *yaml]),
    ):
        path = venv.bin / tool
        command = [os.fspath(path) if path.exists() else tool, *arguments]
        if subprocess.run(command, cwd=CHECKOUT, check=False).returncode != 0:
            failed.append(tool)
    failed += _lint_nginx(venv)
    print(f"lint: {', '.join(failed)} found something" if failed else "lint: nothing found")
    return 1 if failed else 0


def _lint_nginx(venv: VirtualEnvironment) -> list[str]:
    """`nginx -t` and gixy read what the entrypoint renders, for both servers that it can render."""
    failed = []
    for tls in ("off", "on"):
        with tempfile.TemporaryDirectory(prefix="lint-", dir="/tmp") as scratch:
            Path(scratch, "static").mkdir()
            environ = {
                **os.environ,
                "PATH": programs.SEARCH_PATH,
                "NGINX_RUN": f"{scratch}/nginx",
                "NGINX_STATIC": f"{scratch}/static",
                "NGINX_RESOLVER": "127.0.0.1",
                "STACK_TLS": tls,
            }
            entrypoint = [os.fspath(CHECKOUT / "nginx" / "entrypoint"), "--check"]
            if subprocess.run(entrypoint, env=environ, check=False).returncode != 0:
                failed.append(f"nginx -t (STACK_TLS={tls})")
                continue
            gixy = [os.fspath(venv.bin / "gixy"), f"{scratch}/nginx/conf/nginx.conf"]
            found = subprocess.run(gixy, capture_output=True, text=True, check=False)
            if found.returncode != 0:
                print(found.stdout + found.stderr, file=sys.stderr)
                failed.append(f"gixy (STACK_TLS={tls})")
    return failed


def loadtest(environ: Mapping[str, str]) -> int:
    """PROFILE runs one headless; without it Locust's page opens. HOST, else the running stack."""
    host = environ.get("HOST") or _address_of_running_stack(environ)
    profile = environ.get("PROFILE")
    return _python("-m", "loadtest", "--host", host, *(["--profile", profile] if profile else []))


def bench(environ: Mapping[str, str]) -> int:
    """Start stacks of its own, and compare; it minds neither the running one nor its load."""
    return _python("-m", "lab.bench", *shlex.split(environ.get("ARGS", "")))


def compare(environ: Mapping[str, str]) -> int:
    """Start arms of its own. EXPERIMENT, BLOCKS, RUNTIME, SEED, QUICK and FRESH say how.

    0: as declared; 1: a declared expectation failed; 2: usage; 3: untrustworthy or not decided.
    """
    options = [f"--{name}={environ[name.upper()]}" for name in ("blocks", "runtime", "seed")
               if environ.get(name.upper())]  # fmt: skip
    switches = [f"--{name}" for name in ("quick", "fresh") if _is_on(environ, name.upper())]
    experiment = environ.get("EXPERIMENT", "")
    return _python("-m", "lab", "compare", *options, *switches, "--", experiment)


def report(environ: Mapping[str, str]) -> int:
    """Render a run again: EXPERIMENT's newest, or the newest of all. OPEN serves it."""
    switches = [f"--{name}" for name in ("open", "publish") if _is_on(environ, name.upper())]
    experiment = environ.get("EXPERIMENT")
    which = ["--", experiment] if experiment else []
    return _python("-m", "lab", "report", *switches, *which)


def _is_on(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").lower() not in {"", "0", "no", "off", "false"}


def _address_of_running_stack(environ: Mapping[str, str]) -> str:
    runtime = choose(environ).runtime
    if not runtime.is_up():
        raise StackError(f"the stack {runtime.name} is not up", "make up, or make loadtest HOST=…")
    return runtime.address()


def base_image(environ: Mapping[str, str]) -> int:
    make_base_image(environ)
    return 0


def pins(environ: Mapping[str, str]) -> int:  # noqa: ARG001 - a command like the others
    """Resolve each dependency group of pyproject.toml into requirements/<group>.txt."""
    uv = shutil.which("uv")
    if uv is None:
        raise StackError("uv is not installed", "pip install uv, in an environment of its own")
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    for group in project["dependency-groups"]:
        print(f"  requirements/{group}.txt")
        done = subprocess.run(
            [uv, "export", "--quiet", "--only-group", group, "--no-emit-project", "--no-header",
             "--no-annotate"],
            cwd=CHECKOUT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise StackError(f"uv cannot resolve the group {group}", log=done.stderr.strip())
        (CHECKOUT / "requirements" / f"{group}.txt").write_text(done.stdout, encoding="utf-8")
    return 0


def clean(environ: Mapping[str, str]) -> int:
    """Take every local copy and this name's containers down, and delete what was made."""
    progress = Progress.to_terminal()
    for state in sorted((CHECKOUT / "run").glob("*/state.json")):
        name = json.loads(state.read_text(encoding="utf-8"))["toggles"]["STACK_NAME"]
        progress.step(f"taking {name} down")
        LocalRuntime({"STACK_NAME": name}, progress=progress).down()
    if engine_trouble() is None:
        progress.step("removing containers, networks and volumes")
        ComposeRuntime(environ, progress=progress).down(volumes=True)
    for name in ("run", "results", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"):
        if (CHECKOUT / name).exists():
            progress.step(f"removing {name}/")
            shutil.rmtree(CHECKOUT / name)
    for cache in CHECKOUT.rglob("__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)
    return 0


def _python(*arguments: str) -> int:
    """Run the .venv's Python on *arguments*, with everything installed that tests need."""
    venv = VirtualEnvironment(CHECKOUT, Progress.to_terminal())
    venv.ensure(TEST)
    environ = {**os.environ, "PATH": os.pathsep.join([os.fspath(venv.bin), programs.SEARCH_PATH])}
    command = [os.fspath(venv.python), *arguments]
    with subprocess.Popen(command, cwd=CHECKOUT, env=environ) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # The terminal told it as well; it ends its servers and writes its report.
                continue


def _tracked() -> Sequence[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        return [name for name in listed.stdout.splitlines() if (CHECKOUT / name).is_file()]
    # A copy without its history.
    skipped = {".venv", "run", "results"}
    return [
        os.fspath(path.relative_to(CHECKOUT))
        for path in sorted(CHECKOUT.rglob("*"))
        if path.is_file() and path.relative_to(CHECKOUT).parts[0] not in skipped
    ]


def _is_shell(file: Path) -> bool:
    with file.open("rb") as stream:
        first = stream.readline(40)
    return first.startswith(b"#!") and first.rstrip().endswith((b"/sh", b"/bash", b" bash", b" sh"))
