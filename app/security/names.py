"""Login names: which are allowed, and when two are the same name.

`Ada`, `ada` and `ADA` in full-width letters look alike, so they are one name. Pages show the
spelling that the user chose; names are compared in their `canonical()` form.
"""

from __future__ import annotations

import re
import unicodedata

MIN_LENGTH = 2
MAX_LENGTH = 32
RULE = f"{MIN_LENGTH} to {MAX_LENGTH} letters and digits; dots, hyphens and underscores in between"

# \w matches the letters and digits of every script, and "_". Spaces, control characters, "/" and
# "@" are excluded because names appear in pages, logs and addresses.
_SHAPE = re.compile(r"[^\W_](?:[\w.-]*[^\W_])?")


# The letters of the languages that mix scripts (UTS #39, "highly restrictive").
_MIXES = [
    {"LATIN", "CJK", *more} for more in (("HIRAGANA", "KATAKANA"), ("BOPOMOFO",), ("HANGUL",))
]
_INVISIBLE = frozenset("\u115f\u1160")  # the letters of no width, after NFKC


class BadName(ValueError):
    """Not an allowed login name. The text is a sentence for the user."""


def canonical(name: str) -> str:
    """The form of *name* that is unique among accounts. Raises BadName.

    Case folding can undo normalisation (NFKC), so the text is normalised before and after it.
    Otherwise a name could have two canonical forms.
    """
    if len(name) > MAX_LENGTH:  # before normalising, which can make 18 characters of one
        raise BadName(f"A name has {RULE}.")
    folded = unicodedata.normalize("NFKC", name)
    folded = unicodedata.normalize("NFKC", folded.casefold())
    if not MIN_LENGTH <= len(folded) <= MAX_LENGTH or not _SHAPE.fullmatch(folded):
        raise BadName(f"A name has {RULE}.")
    return folded


def check_new(name: str) -> None:
    """Raise BadName unless a new account may have this name.

    Accounts that have such a name already can still be found and deleted.
    """
    letters = {letter for letter in canonical(name) if letter.isalpha()}
    if letters & _INVISIBLE:
        raise BadName("A name has only letters that can be seen.")
    # The first word of a letter's Unicode name is its script. Python has no table of scripts.
    scripts = {re.split("[ -]", unicodedata.name(letter, "UNNAMED"))[0] for letter in letters}
    if len(scripts) > 1 and not any(scripts <= mix for mix in _MIXES):
        raise BadName("A name has letters of one script: those of two can look alike.")
