"""Which passwords are accepted, after OWASP ASVS 5.0, section 6.2.

Length and novelty decide; there are no rules about which kinds of character must be there (6.2.5),
because those make people append "1!" and nothing else. A password is taken exactly as it was typed,
spaces and all (6.2.8).
"""

from __future__ import annotations

import importlib
import sys
from functools import cache

MIN_LENGTH = 8
# Far above the 64 that must be possible; without any limit a form could make us hash a megabyte.
MAX_LENGTH = 256
# This many leading characters of your own name or the service's are not much of a secret.
_CONTEXT_LENGTH = 4


class WeakPassword(ValueError):
    """A password that is not accepted. The text says why, to the person who chose it."""


class PasswordPolicy:
    """The rules for a new password. An existing one is never judged: that would lock people out."""

    def check(self, password: str, *, context: tuple[str, ...] = ()) -> None:
        """Raise WeakPassword unless *password* may be used.

        *context* holds words that a guesser would try first for this account: its name, the
        service's name (6.2.11).
        """
        if len(password) < MIN_LENGTH:
            raise WeakPassword(f"Please use at least {MIN_LENGTH} characters; words are fine.")
        if len(password) > MAX_LENGTH:
            raise WeakPassword(f"Please use at most {MAX_LENGTH} characters.")
        folded = password.casefold()
        if folded in common_passwords():
            raise WeakPassword("This is one of the passwords that are tried first. Choose another.")
        if len(set(folded)) <= 2:
            raise WeakPassword("One or two characters repeated are guessed at once.")
        for word in context:
            rest = folded.replace(word.casefold(), "")
            if len(word) >= _CONTEXT_LENGTH and len(rest) < _CONTEXT_LENGTH:
                raise WeakPassword(f"“{word}” is the first thing that somebody would try.")


@cache
def common_passwords() -> frozenset[str]:
    """The passwords of at least MIN_LENGTH characters among the 30,000 most often leaked (6.2.4).

    The package's other tables (names, English words: 13 MB of the 14) go out of memory again.
    """
    module = "zxcvbn.frequency_lists"
    known = module in sys.modules
    words = importlib.import_module(module).FREQUENCY_LISTS["passwords"]
    common = frozenset(word for word in words if len(word) >= MIN_LENGTH)
    if not known:
        del sys.modules[module]
        del sys.modules["zxcvbn"].frequency_lists
    return common
