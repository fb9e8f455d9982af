"""No template uses what the Content-Security-Policy forbids: inline code, styles, other hosts."""

import re
from pathlib import Path

import pytest

TEMPLATES = sorted((Path(__file__).parents[2] / "app").rglob("*.html"))
FORBIDDEN = {
    "an inline script": r"<script(?! src=)",
    "an inline style": r"<style|\sstyle\s*=",
    "an event handler": r"\son[a-z]+\s*=",
    "a script address": r"javascript:",
    # A link may lead away.
    "another host": r"""(?<!<a )(?:src|href|action)\s*=\s*["'](?:https?:)?//""",
    "unescaped output": r"\|\s*safe\b|autoescape\s+false",
}


def test_there_are_templates():
    assert len(TEMPLATES) > 10


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_nothing_forbidden(path):
    text = path.read_text()
    for what, pattern in FORBIDDEN.items():
        assert not re.search(pattern, text, re.I), f"{path.name} holds {what}"


def test_the_style_sheet_loads_nothing():
    for sheet in (Path(__file__).parents[2] / "app/static").glob("*.css"):
        assert not re.search(r"url\(|@import|@font-face", sheet.read_text())
