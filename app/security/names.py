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
