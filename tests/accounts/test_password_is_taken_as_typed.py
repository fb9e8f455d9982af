"""The login compares a password exactly as typed: not trimmed, cut, folded or mapped."""

import pytest

from tests.people.in_process import Browser, new_name

PASSWORDS = {
    "spaces at both ends": "  Tide And Moon  ",
    "64 characters": "Q" + "tide and moon, " * 4 + "end",
    "256 characters": "Tide and moon, and all the rest of" + " what the sea does" * 12 + "!!!!!!",
    "accents composed": "caf\u00e9 by the s\u00e9a",
    "full-width letters": "\uff34\uff49\uff44\uff45 and moon",
    "other scripts": "\u65e5\u672c\u8a9e\u306e\u30d1\u30b9\u30ef\u30fc\u30c9",
}
CHANGES = {
    "trimmed": str.strip,
    "trimmed on the right": str.rstrip,
    "in small letters": str.lower,
    "cut at 72 characters, as bcrypt does": lambda text: text[:72],
    "cut by one": lambda text: text[:-1],
    "decomposed": lambda text: text.replace("\u00e9", "e\u0301"),
    "mapped to ASCII": lambda text: "".join(
        chr(ord(one) - 0xFEE0) if "\uff01" <= one <= "\uff5e" else one for one in text
    ),
    "with a space more": lambda text: text + " ",
}


@pytest.mark.parametrize("kind", PASSWORDS)
def test_only_the_very_same_opens(app, kind):
    # Each wrong one comes from its own address, so no delay hides the comparison.
    password, name = PASSWORDS[kind], new_name()
    assert Browser(app).register(name, password).status_code == 303
    tried = 0
    for number, change in enumerate(CHANGES.values()):
        if (other := change(password)) != password:
            browser = Browser(app, address=f"198.51.100.{number}")
            refused = browser.log_in(name, other)
            assert refused.status_code in {400, 401}, other
            tried += 1
    assert tried >= 2
    assert Browser(app).log_in(name, password).status_code == 303
