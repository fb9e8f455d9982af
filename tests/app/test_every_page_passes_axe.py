"""axe-core finds no violation on any page: a visitor's, a member's, an admin's, nginx's errors.

The app runs in this process. Surfer.check also runs axe in the tests of a journey, in windows with
scripts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from werkzeug.serving import make_server

from tests.people import in_process
from tests.people.in_chromium import DESKTOP, Surfer
from tests.servers.redis import RedisServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
# Errors of the app, and of nginx (`address` is a whole stack).
ERRORS = ("/nowhere", "/auth/logout")
ERRORS_OF_NGINX = ("/.git/config", "/metrics", f"/{'x' * 20_000}")


@pytest.fixture(scope="module")
def app(redis: RedisServer) -> Flask:
    return in_process.make_app(redis, STACK_INSIDE="users", STACK_DEMO="on")


@pytest.fixture(scope="module")
def site(app: Flask) -> Iterator[str]:
    """The address of the app."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def pages(app: Flask, person: in_process.Browser) -> list[str]:
    """The addresses that answer *person* with a page."""
    values = {"user_id": app.extensions["security"].find(person.name).id}
    values["name"] = "wsgi"
    if "posts.index" in app.view_functions:
        values["post_id"] = person.write().rpartition("/")[2]
    found = []
    for rule in app.url_map.iter_rules():
        if "GET" in (rule.methods or ()) and rule.arguments <= values.keys():
            with app.test_request_context():
                path = rule.build(values, append_unknown=False)[1]
            answer = person.get(path)
            if answer.status_code == 200 and answer.mimetype == "text/html":
                found.append(path)
    return found


@pytest.mark.parametrize("who", ["visitor", "admin"])
def test_every_page(browser: Browser, app: Flask, site: str, who: str) -> None:
    surfer = Surfer(browser, site, viewport=DESKTOP, color_scheme="light")
    root, root.name = in_process.admin(app)
    if who == "visitor":
        found = ["/", "/auth/login", "/auth/register"]
    else:
        surfer.context.add_cookies([{"name": "session", "value": root.session_id, "url": site}])
        found = pages(app, root)
        known = ("/", "/home", "/auth/sessions", "/auth/password", "/auth/reauthenticate")
        assert set(known) < set(found)
    for path in (*found, *ERRORS):
        surfer.open(path)
        surfer.check(path)
    surfer.close()


def test_every_page_of_nginx(browser: Browser, address: str) -> None:
    surfer = Surfer(browser, address, viewport=DESKTOP, color_scheme="light")
    for path in ERRORS_OF_NGINX:
        surfer.open(path)
        assert surfer.page.locator("code").count() == 1
        surfer.check_with_axe(path)
    surfer.close()
