"""An app that knows nothing of this stack runs in the image: STACK_APP and a mount are enough."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from tests.people.over_http import Person

pytestmark = pytest.mark.containers


def mounted(file: Path, source: Path, target: str, **environment: str) -> Path:
    """Write a Compose file that mounts *source* into the app's container."""
    app = {"volumes": [f"{source}:{target}:ro"], "environment": environment}
    file.write_text(json.dumps({"services": {"app": app}}), encoding="utf-8")
    return file


def test_it_is_served_with_everything_around_it(
    stack: ComposeRuntime, another: Callable[..., ComposeRuntime], tmp_path: Path
) -> None:
    source = CHECKOUT / "tests" / "foreign_apps"
    override = mounted(tmp_path / "foreign.yml", source, "/srv/foreign_app")
    foreign = another(STACK_APP="foreign_app.shop:create_shop()", files=[override])
    foreign.up()
    person = Person(foreign.address())
    page = person.get("/")
    assert page.status == 200 and "Two teapots" in page.text
    assert page.headers["x-request-id"] and page.headers["x-content-type-options"] == "nosniff"
    assert person.fill_in("/", teapots="3").text == "3 teapots are yours.\n"
    assert person.get("/nowhere").status == 404


def test_its_modules_take_precedence_over_modules_of_the_stack(
    stack: ComposeRuntime, another: Callable[..., ComposeRuntime], tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    for package in ("app", "toggles"):
        (shop / package).mkdir(parents=True)
        (shop / package / "__init__.py").write_text("OWNER = b'the shop'\n")
    (shop / "app" / "wsgi.py").write_text(
        "import toggles\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [toggles.OWNER]\n"
    )
    for path in (tmp_path, *shop.rglob("*"), shop):
        path.chmod(0o755)  # the container's user reads them
    override = mounted(tmp_path / "shop.yml", shop, "/shop", PYTHONPATH="/shop")
    foreign = another(files=[override])  # STACK_APP=app.wsgi:application, as by default
    foreign.up()
    assert Person(foreign.address()).get("/").text == "the shop"
