"""New passwords: OWASP ASVS 5.0, section 6.2."""

import string
import subprocess
import sys

import pytest

from app.security.passwords import MAX_LENGTH, WeakPassword, check, common_passwords

CONTEXT = ("lovelace", "observatory")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "at least 8"),
        ("seven77", "at least 8"),
        ("x" * (MAX_LENGTH + 1), "at most"),
        ("password", "most common"),
        ("PassWord", "most common"),
        ("qwertyuiop", "most common"),
        ("1234567890", "most common"),
        ("xzxzxzxzxz", "repeated"),
        ("Lovelace99", "lovelace"),
        ("observatory", "observatory"),
    ],
)
def test_refused(password, why):
    with pytest.raises(WeakPassword, match=why):
        check(password, context=CONTEXT)


@pytest.mark.parametrize(
    "password",
    [
        "zweiundvierzig",  # letters only: no composition rules (6.2.5)
        "8305719462",
        "two  spaces  ",
        "\u65e5\u672c\u8a9e\u306e\u30d1\u30b9\u30ef\u30fc\u30c9",
        string.ascii_letters + string.digits + "!?",  # 64 characters (6.2.9)
        "tide" * 16 + "s",
        "v" * 100 + "wx" + "y" * (MAX_LENGTH - 102),
        "ask ada lovelace about looms",
    ],
)
def test_accepted(password):
    check(password, context=CONTEXT)


def test_the_list_holds_the_3000_most_common_that_would_be_long_enough():
    assert len(common_passwords()) >= 3000
    assert min(map(len, common_passwords())) >= 8


def test_the_rest_of_the_word_lists_leaves_memory():
    code = (
        "import sys; from app.security.passwords import common_passwords; common_passwords();"
        "assert 'zxcvbn.frequency_lists' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
