"""Somebody else's app runs unchanged in the same image: STACK_APP names it, a mount brings it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from tests.people.over_http import Person

pytestmark = pytest.mark.containers


def test_it_is_served_with_everything_around_it(
    stack: ComposeRuntime, another: Callable[..., ComposeRuntime], tmp_path: Path
) -> None:
    override = tmp_path / "foreign.yml"
    source = CHECKOUT / "tests" / "foreign_app"
    override.write_text(
        f"services: {{app: {{volumes: ['{source}:/srv/foreign_app:ro']}}}}\n", encoding="utf-8"
    )
    foreign = another(STACK_APP="foreign_app.shop:create_shop()", files=[override])
    foreign.up()
    person = Person(foreign.address())
    page = person.get("/")
    assert page.status == 200 and "Two teapots" in page.text
    assert page.headers["x-request-id"] and page.headers["x-content-type-options"] == "nosniff"
    assert person.fill_in("/", teapots="3").text == "3 teapots are yours.\n"
    assert person.get("/nowhere").status == 404
