"""app/redis_client and app/sessions work in any package, with the three lines of the README."""

import ast
import re
import shutil
import subprocess
import sys

import pytest

from stack.checkout import CHECKOUT

APP = CHECKOUT / "app"


@pytest.mark.parametrize(
    ("folder", "ours"), [("redis_client", set()), ("sessions", {"redis_client"})]
)
def test_a_folder_imports_nothing_else_of_the_app(folder, ours):
    for path in (APP / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not [each for each in node.names if each.name.split(".")[0] == "app"], path
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                assert (node.module or "").split(".")[0] not in {"app", "toggles"}, path
            elif isinstance(node, ast.ImportFrom) and node.level > 1:
                assert node.level == 2 and node.module in ours, (path, node.module)


def test_the_three_lines_of_the_readme(redis, tmp_path):
    readme = (APP / "sessions" / "README.md").read_text()
    (block,) = re.findall(r"```python three lines\n(.*?)```", readme, re.S)
    assert len([line for line in block.splitlines() if line]) == 3
    url = redis.url.replace("app@", f"app:{redis.password}@")
    code = re.sub(r'connect\(".*?"\)', f"connect({url!r}, budget=10)", block)
    for folder in ("redis_client", "sessions"):
        shutil.copytree(APP / folder, tmp_path / "shop" / folder)
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "theirs.py").write_text(f"""
from flask import Flask, session
app = Flask("theirs")
app.secret_key = "a secret that nobody guesses"
{code}
@app.route("/count")
def count():
    session["count"] = session.get("count", 0) + 1
    return str(session["count"])
browser = app.test_client()
print([browser.get("/count", base_url="https://localhost").text for _ in range(3)])
""")
    path = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import theirs"
    run = subprocess.run(
        [sys.executable, "-I", "-c", path],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert run.stderr == ""
    assert run.stdout.strip() == "['1', '2', '3']"
