"""Of two shared fixtures with one name pytest silently takes one: a test gets another stack."""

import ast
import collections
from pathlib import Path

from stack.checkout import CHECKOUT

PLUGINS = ("tests/needs.py", "tests/servers/containers.py", "tests/people/in_chromium.py")


def fixtures(file: Path) -> list[str]:
    return [
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]


def test_each_name_is_there_once() -> None:
    loaded = (CHECKOUT / "conftest.py").read_text()
    assert all(plugin.removesuffix(".py").replace("/", ".") in loaded for plugin in PLUGINS)
    assert loaded.count('"tests.') == len(PLUGINS)
    found = collections.Counter(
        name for file in (*PLUGINS, "tests/conftest.py") for name in fixtures(CHECKOUT / file)
    )
    assert {"stack", "browsed_stack"} <= found.keys()
    assert [name for name, times in found.items() if times > 1] == []
