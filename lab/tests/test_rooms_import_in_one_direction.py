"""The lab's rooms import in one direction: plan ← measure ← judge ← report, without a circle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

LAB = Path(__file__).resolve().parents[1]

# The imports that each room may have besides its own modules. Three modules stand outside the
# rooms: lab.trial, which all may import, lab.runs, and the command line, which imports all rooms.
ALLOWED = {
    "trial": set(),
    "plan": {"trial"},
    "measure": {"trial", "plan"},
    "judge": {"trial", "plan", "measure"},
    "report": {"trial", "plan", "measure", "judge", "runs"},
    "servers": set(),
    "runs": {"trial"},
}


def modules() -> dict[str, ast.Module]:
    """Dotted name → syntax tree."""
    files = [file for file in LAB.rglob("*.py") if "tests" not in file.relative_to(LAB).parts]
    return {
        ".".join(file.relative_to(LAB.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): ast.parse(file.read_text(encoding="utf-8"))
        for file in files
    }


def imported(tree: ast.Module, known: set[str]) -> set[str]:
    """The modules of the lab that *tree* imports, also inside functions or for types alone."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in known else str(node.module))
    return found & known


def imports() -> dict[str, set[str]]:
    trees = modules()
    return {name: imported(tree, set(trees)) - {name} for name, tree in trees.items()}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("name", ALLOWED)
def test_a_room_imports_only_earlier_rooms(name: str) -> None:
    found = {
        (module, other)
        for module, others in imports().items()
        if room(module) == name
        for other in others
        if room(other) not in {name, "", *ALLOWED[name]}
    }
    assert found == set()


def test_every_room_has_its_rule() -> None:
    rooms = {path.name for path in LAB.iterdir() if (path / "__init__.py").exists()}
    assert rooms - {"tests"} <= ALLOWED.keys()
    assert all(any(room(module) == name for module in modules()) for name in ALLOWED)


def test_no_module_imports_itself_through_others() -> None:
    try:
        list(TopologicalSorter(imports()).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))
