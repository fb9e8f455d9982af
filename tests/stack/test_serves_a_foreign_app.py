"""STACK_APP runs an app that knows nothing of this stack."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from stack.local.runtime import LocalRuntime
from tests.people.over_http import Person
from tests.stack.checkouts import own_name


@contextmanager
def serving(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a stack that serves *name* of tests/foreign_apps."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "foreign_apps"))
    environ = {"STACK_PORT": "0", "STACK_APP": name, "STACK_NAME": own_name()}
    with LocalRuntime(environ) as stack:
        assert all(status.healthy for status in stack.status())
        yield stack.address()


def test_it_is_served_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("shop:create_shop()", monkeypatch) as address:
        shop = Person(address)
        assert "Two teapots left" in shop.get("/").text
        assert shop.post("/order", {"teapots": "2"}).text == "2 teapots are yours.\n"


def test_its_flask_login_works_in_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("club:create_club()", monkeypatch) as address:
        ada = Person(address)
        assert ada.get("/members").status == 401
        assert ada.post("/login/ada?remember", {}).text == "True"
        assert [ada.get("/settings").text for _ in range(20)] == ["your settings"] * 20
        kept = {cookie.name: cookie for cookie in ada.cookies}

        def remembered(_number: int) -> Person:
            person = Person(address)
            person.cookies.set_cookie(kept["remember_token"])
            assert person.get("/members").text == "welcome"
            assert person.get("/settings").status == 401
            return person

        with ThreadPoolExecutor(8) as pool:
            people = list(pool.map(remembered, range(8)))
        tokens = [cookie.value for one in people for cookie in one.cookies if "_" in cookie.name]
        assert len(tokens) == 8 and len(set(tokens)) == 1

        assert ada.post("/logout", {}).text == "True"
        assert ada.get("/members").status == 401
        late = Person(address)
        late.cookies.set_cookie(kept["remember_token"])
        assert late.get("/members").status == 401
