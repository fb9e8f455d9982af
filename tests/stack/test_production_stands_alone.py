"""Imports follow the drawn arrows: production needs no unit, and no module imports itself back.

The imports of every Python file are read from its source, scripts without an extension included.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT

PRODUCTION = ("toggles", "app", "uwsgi", "nginx", "redis")
UNITS = (
    "stack",
    "certificates",
    "loadtest",
    "lab",
    "operate",
    "deploy",
    "faults",
    "template",
    "tests",
)
ROOMS = tuple(room for room in (*PRODUCTION, *UNITS) if (CHECKOUT / room).is_dir())

# What a room may import of ours besides itself. Every room may import toggles.
ALLOWED = {
    "toggles": set(),
    **{room: {"toggles"} for room in ("app", "uwsgi", "nginx", "redis")},
    "stack": {"toggles"},
    "certificates": {"toggles"},
    "loadtest": set(),
    "operate": {"toggles", "stack"},
    "deploy": {"toggles", "stack"},
    "faults": {"toggles", "stack", "app"},  # it serves the stack's own app
    "template": {"toggles", "stack"},
    "lab": {"toggles", "stack", "loadtest", "app"},
    "tests": {"toggles", "stack", "loadtest", "app"},
}


def is_python(file: Path) -> bool:
    if file.suffix:
        return file.suffix == ".py"
    with file.open("rb") as stream:
        first = stream.readline()
    return first.startswith(b"#!") and b"python" in first


@cache
def files(room: str) -> tuple[Path, ...]:
    """Return the Python files of *room* that git knows or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", room]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    found = {CHECKOUT / name for name in listed.stdout.split("\0") if name}
    return tuple(sorted(file for file in found if file.is_file() and is_python(file)))


def imports(source: str, package: str) -> Iterator[str]:
    """Yield the dotted names that *source*, a module of *package*, imports when it runs.

    ``from a import b`` yields ``a.b``: b may be a module. Imports for type checkers are left out.
    """
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: -node.level + 1 or None] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def package_of(file: Path) -> str:
    return ".".join(file.parent.relative_to(CHECKOUT).parts)


def faults(room: str, names: Iterator[str]) -> set[str]:
    """Return the names that a file of *room* must not import.

    `redis` and `uwsgi` are the installed package and the server's own module: the rooms of that
    name have no modules to import.
    """
    ours = set(ROOMS) - {"redis", "uwsgi", "nginx"}
    return {name for name in names if name.split(".")[0] in ours - {room} - ALLOWED[room]}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_its_arrows_allow(room: str) -> None:
    wrong = {}
    for file in files(room):
        found = faults(room, imports(file.read_text(encoding="utf-8"), package_of(file)))
        if found:
            wrong[str(file.relative_to(CHECKOUT))] = found
    # Tests of a unit share helpers with the others, and start the stack.
    if room in ("certificates", "lab", "operate", "deploy", "faults", "template"):
        for name in [name for name in wrong if name.startswith(f"{room}/tests/")]:
            wrong[name] = {it for it in wrong[name] if not it.startswith(("tests.", "stack."))}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_toggles_needs_only_the_standard_library() -> None:
    names = {
        name.split(".")[0]
        for file in files("toggles")
        for name in imports(file.read_text(encoding="utf-8"), package_of(file))
    }
    assert names - sys.stdlib_module_names == {"toggles"}


@cache
def graph(room: str) -> dict[str, set[str]]:
    """Return the modules of *room*, each with the modules of the room that it imports."""
    sources = {}
    for file in files(room):
        parts = file.relative_to(CHECKOUT).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    edges: dict[str, set[str]] = {}
    for module, file in sources.items():
        # The statement `from a import b` depends on a.b if that is a module, otherwise on a.
        names = imports(file.read_text(encoding="utf-8"), package_of(file))
        found = {name if name in sources else name.rpartition(".")[0] for name in names}
        edges[module] = (found & sources.keys()) - {module}
    return edges


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return one path per circle that is found: its first module is also its last."""
    found, done = [], set()
    path: list[str] = []

    def visit(module: str) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            path.append(module)
            for imported in sorted(edges[module]):
                visit(imported)
            path.pop()
            done.add(module)

    for module in sorted(edges):
        visit(module)
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_no_modules_import_each_other(room: str) -> None:
    assert [" → ".join(circle) for circle in circles(graph(room))] == []


def test_what_must_fail_does() -> None:
    source = "import stack.cli\nfrom stack import ports\nif x:\n    from tests.needs import y\n"
    assert faults("app", imports(source, "app")) == {"stack.cli", "stack.ports", "tests.needs.y"}
    assert set(imports("from . import a\nfrom .b import c\nfrom .. import d", "p.q")) == {
        "p.q.a",
        "p.q.b.c",
        "p.d",
    }
    assert list(imports("if TYPE_CHECKING:\n    import lab\n", "app")) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c", "b"]]
    scripts = {str(file.relative_to(CHECKOUT)) for file in files("uwsgi")}
    assert {"uwsgi/entrypoint", "uwsgi/reload", "uwsgi/serve.py"} <= scripts
