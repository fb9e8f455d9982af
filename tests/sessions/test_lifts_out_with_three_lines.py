"""app/sessions is a folder that anybody can copy: the README's three lines work without app.*."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

SESSIONS = Path(__file__).resolve().parents[2] / "app" / "sessions"


def test_it_imports_nothing_of_the_app():
    for path in SESSIONS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, (path, node.module)
            names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name and name.split(".")[0] == "app"], path


def test_the_three_lines_of_the_readme(redis, tmp_path):
    (block,) = re.findall(
        r"```python three lines\n(.*?)```", (SESSIONS / "README.md").read_text(), re.S
    )
    lines = [line for line in block.splitlines() if line]
    assert len(lines) == 3
    url = redis.url.replace("app@", f"app:{redis.password}@")
    code = re.sub(r'connect\(".*?"\)', f"connect({url!r})", block)
    shutil.copytree(SESSIONS, tmp_path / "sessions")
    script = tmp_path / "theirs.py"
    script.write_text(f"""
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
    run = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import theirs",
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert run.stderr == ""
    assert run.stdout.strip() == "['1', '2', '3']"
