"""Names that look alike are one name; invalid names are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.security.names import MAX_LENGTH, BadName, canonical, check_new

ALIKE = [
    ("Ada", "ada"),
    ("\uff21\uff24\uff21", "ada"),  # full-width letters
    ("stra\u00dfe", "strasse"),
    ("\u212aelvin", "kelvin"),  # the Kelvin sign
    ("\ufb01nn", "finn"),  # a ligature
    ("e\u0301mile", "\u00e9mile"),  # composed and decomposed
    ("\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c3"),
    ("x\u00b2", "x2"),
]
BAD = [
    "",
    "a",
    " ada",
    "ada ",
    "a da",
    "ada\n",
    "ada\x00",
    "\u202eada",
    "a\u200bda",
    ".ada",
    "ada-",
    "_ada",
    "a/b",
    "a@b",
    "<b>",
    "a" * (MAX_LENGTH + 1),
    "\ufdfa" * 4,  # normalises to 18 characters each
    "\U0001f600\U0001f600",
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_alike(one, other):
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize("name", BAD)
def test_refused(name):
    with pytest.raises(BadName, match="letters and digits"):
        canonical(name)


@pytest.mark.parametrize("name", ["ab", "ada.lovelace", "x_1", "\u6d3e\u751f", "a" * MAX_LENGTH])
def test_accepted(name):
    assert canonical(name) == name


@given(st.text(min_size=2, max_size=MAX_LENGTH))
def test_the_canonical_form_is_its_own(name):
    try:
        found = canonical(name)
    except BadName:
        return
    assert canonical(found) == found
    assert found.isprintable() and not set(found) & set(" /\\@:<>\"'\0")


@pytest.mark.parametrize(
    "name", ["\u3164\u3164", "ada\u3164", "\u0430da", "ad\u03b1", "p\u0430ypal"]
)
def test_invisible_letters_and_mixed_scripts_are_refused(name):
    with pytest.raises(BadName):
        check_new(name)


@pytest.mark.parametrize(
    "name", ["ada-1", "\u0430\u043d\u043d\u0430", "\u6d3e\u751f", "\u3042\u30a2x", "\ud55cx"]
)
def test_scripts_that_are_written_together_are_accepted(name):
    check_new(name)
