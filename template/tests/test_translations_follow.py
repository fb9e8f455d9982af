"""A Chinese document names the version of the English one that it translates.

After a change of either, compare the two and run
`python -m template.tests.test_translations_follow`.
"""

import hashlib
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "docs/request-path.md")


def version(text: str) -> str:
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:12]


def translation(name: str) -> Path:
    return CHECKOUT / name.replace(".md", ".zh-CN.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_translation_is_of_this_version(name: str) -> None:
    original = (CHECKOUT / name).read_text(encoding="utf-8")
    translated = translation(name).read_text(encoding="utf-8")
    found = re.match(rf"<!-- 译自 {re.escape(name)}.版本 (\w+) -->", translated)
    assert found and found[1] == version(original), f"{name} has changed: translate it again"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_both_have_the_same_parts(name: str) -> None:
    """The same number of headings, code blocks and links to files."""
    original = (CHECKOUT / name).read_text(encoding="utf-8")
    translated = translation(name).read_text(encoding="utf-8")
    for pattern in (r"^#+ ", r"^```", r"\]\((?![^)]*(?:README|request-path))[^)#]+"):
        both = [len(re.findall(pattern, text, re.MULTILINE)) for text in (original, translated)]
        assert both[0] == both[1], pattern


def write() -> None:
    for name in DOCUMENTS:
        file = translation(name)
        found = version((CHECKOUT / name).read_text(encoding="utf-8"))
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(r"(版本 )\w+", rf"\g<1>{found}", text, count=1), encoding="utf-8")


if __name__ == "__main__":
    write()
