"""/version reports the version in pyproject.toml."""

import tomllib
from pathlib import Path

from app.ops import VERSION


def test_one_version():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
