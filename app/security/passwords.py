"""The rules for passwords, after OWASP ASVS 5.0, section 6.2.

They check the length and whether the password is common. They require no kinds of characters
(6.2.5), because such rules make people append "1!". A password is used exactly as typed, including
spaces (6.2.8).
"""

from __future__ import annotations

import importlib
import sys
from functools import cache

MIN_LENGTH = 8
# At least 64 must be possible. Without a limit a form could have a megabyte hashed.
MAX_LENGTH = 256
# A password must have so many characters besides the user's or the service's name.
_CONTEXT_LENGTH = 4


class WeakPassword(ValueError):
    """A password that is not accepted. The text says why, for the user."""


def check(password: str, *, context: tuple[str, ...]) -> None:
    """Raise WeakPassword unless *password* may be set. One that is in use is never checked.

    *context* holds words that a guesser tries first for this account: its name and the service's
    name (6.2.11).
    """
    if len(password) < MIN_LENGTH:
        raise WeakPassword(f"Use at least {MIN_LENGTH} characters; words are fine.")
    if len(password) > MAX_LENGTH:
        raise WeakPassword(f"Use at most {MAX_LENGTH} characters.")
    folded = password.casefold()
    if folded in common_passwords():
        raise WeakPassword("This is one of the most common passwords. Choose another.")
    if len(set(folded)) <= 2:
        raise WeakPassword("One or two repeated characters are easy to guess.")
    for word in context:
        rest = folded.replace(word.casefold(), "")
        if len(word) >= _CONTEXT_LENGTH and len(rest) < _CONTEXT_LENGTH:
            raise WeakPassword(f"“{word}” is easy to guess.")


@cache
def common_passwords() -> frozenset[str]:
    """The passwords of at least MIN_LENGTH characters among the 30,000 most often leaked (6.2.4).

    The package's other tables (names, English words: 13 of 14 MB) are removed from memory.
    """
    module = "zxcvbn.frequency_lists"
    words = importlib.import_module(module).FREQUENCY_LISTS["passwords"]
    common = frozenset(word for word in words if len(word) >= MIN_LENGTH)
    del sys.modules[module]
    del sys.modules["zxcvbn"].frequency_lists
    return common
