"""Comments, messages and pages avoid phrases that read like a translation."""

import re
import subprocess

import pytest

from stack.checkout import CHECKOUT

# Phrase → what to write instead.
PHRASES = {
    r"\btak(?:e|es|ing) (?!precedence)(?:\w+ ){0,3}over\b": "apply, load",
    r"\bby (?:itself|themselves)\b": "automatically, alone",
    r"\bas long as (?:nobody|nothing|no one)\b": "unless, without",
    r"\bfor ever\b": "forever, without a limit",
    r"\b(?:see|sees|saw) to it\b": "ensure",
    r"\bwhat \w+ is at\b": "progress",
    r"\bfor the while\b": "until …",
    r"(?:^|[.:;] )Who(?:ever)? (?:is|has|can|may|must|wants|needs|comes|runs)\b[^?\n]{0,60}, ": (
        "a subject: users who …"
    ),
    r"^\W*What (?:the \w+ \w+|was \w+|\w+ may \w+)\b[^?\n:]{0,60}(?: (?:has|have|stays|must)\b)": (
        "a subject: the settings of …"
    ),
}
# This file, and texts of others or without prose.
EXCEPT = re.compile(r"test_text_is_plain_english|LICENSE|results/|requirements/|\.(?:json|svg)$")


def texts() -> dict[str, str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    names = [name for name in listed.stdout.splitlines() if not EXCEPT.search(name)]
    return {
        name: (CHECKOUT / name).read_text(encoding="utf-8", errors="replace")
        for name in names
        if (CHECKOUT / name).is_file()
    }


@pytest.mark.parametrize("phrase", PHRASES)
def test_the_phrase_is_not_used(phrase: str) -> None:
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}"
        for name, text in texts().items()
        for match in re.finditer(phrase, text, re.MULTILINE | re.IGNORECASE)
    ]
    assert not found, "\n".join([f"write {PHRASES[phrase]} instead of", *found])


def test_there_are_texts() -> None:
    assert len(texts()) > 200
