"""`make pins` for a new dependency changes only its lines, whatever else the index has by now."""

from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from stack.jobs import pin_changes, with_old_hashes

OLD = (
    "flask==3.1.3 \\\n    --hash=sha256:aa\n"
    "redis==8.1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:bb\n"
)


def test_a_known_version_keeps_its_hashes_and_a_new_one_gets_its_own() -> None:
    fresh = (
        "attrs==26.1.0 \\\n    --hash=sha256:cc\n"
        "flask==3.1.3 \\\n    --hash=sha256:11 \\\n    --hash=sha256:aa\n"
        "redis==8.2.0 ; sys_platform == 'linux' \\\n    --hash=sha256:dd\n"
    )
    assert with_old_hashes(fresh, OLD) == (
        "attrs==26.1.0 \\\n    --hash=sha256:cc\n"
        "flask==3.1.3 \\\n    --hash=sha256:aa\n"
        "redis==8.2.0 ; sys_platform == 'linux' \\\n    --hash=sha256:dd\n"
    )


def test_the_changes_are_listed() -> None:
    fresh = "attrs==26.1.0 \\\n    --hash=sha256:cc\nflask==3.1.4 \\\n    --hash=sha256:11\n"
    assert pin_changes(OLD, OLD) == []
    assert pin_changes(OLD, fresh) == [
        ("attrs", "-", "26.1.0"),
        ("flask", "3.1.3", "3.1.4"),
        ("redis", "8.1.0", "-"),
    ]


@pytest.mark.parametrize("file", sorted(CHECKOUT.glob("requirements/*.txt")), ids=lambda f: f.name)
def test_unchanged_versions_leave_the_file_as_it_is(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert with_old_hashes(text.replace("sha256:", "sha256:0"), text) == text
