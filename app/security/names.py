"""Login names: what one may look like, and when two of them are the same name.

`Ada`, `ada` and `ADA` in full-width letters read alike, so they are one name, and whoever registers
first has it. What people see is the spelling that they chose; what is compared is `canonical()`.
"""

from __future__ import annotations

import re
import unicodedata

MIN_LENGTH = 2
MAX_LENGTH = 32
RULE = f"{MIN_LENGTH} to {MAX_LENGTH} letters and digits; dots, hyphens and underscores in between"

# \w is every script's letters and digits, and "_". Spaces, control characters, "/" and "@" are out:
# a name is printed in pages, logs and addresses.
_SHAPE = re.compile(r"[^\W_](?:[\w.-]*[^\W_])?")


class BadName(ValueError):
    """Not a possible login name. The text is a sentence for the person who typed it."""


def canonical(name: str) -> str:
    """The form of *name* that is unique among accounts. Raises BadName.

    Case-folding can undo normalisation (NFKC) and the reverse, so the order and the second
    normalisation matter: without them a name could have two canonical forms.
    """
    if len(name) > MAX_LENGTH:  # before normalising, which can blow one character up to 18
        raise BadName(f"A name has {RULE}.")
    folded = unicodedata.normalize("NFKC", name)
    folded = unicodedata.normalize("NFKC", folded.casefold())
    if not MIN_LENGTH <= len(folded) <= MAX_LENGTH or not _SHAPE.fullmatch(folded):
        raise BadName(f"A name has {RULE}.")
    return folded
