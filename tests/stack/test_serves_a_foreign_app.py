"""STACK_APP runs an app that knows nothing of this stack."""

from pathlib import Path

import pytest

from stack.local.runtime import LocalRuntime
from tests.people.over_http import Person
from tests.stack.checkouts import own_name


@pytest.mark.parametrize("name", ["shop:create_shop()"])
def test_it_is_served_unchanged(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "foreign_apps"))
    environ = {"STACK_PORT": "0", "STACK_APP": name, "STACK_NAME": own_name()}
    with LocalRuntime(environ) as stack:
        assert all(status.healthy for status in stack.status())
        shop = Person(stack.address())
        assert "Two teapots left" in shop.get("/").text
        assert shop.post("/order", {"teapots": "2"}).text == "2 teapots are yours.\n"
