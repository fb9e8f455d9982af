"""Below STACK_PREFIX every link and redirect of the app has the prefix, and its cookie a name."""

import re

from tests.people.in_process import PASSWORD, Browser, make_app, new_name


def test_a_member_is_led_to_pages_below_it(redis) -> None:
    app = make_app(redis, STACK_PREFIX="/shop")
    person = Browser(app)
    person.environ["SCRIPT_NAME"] = "/shop"
    asked = person.get("/auth/sessions")
    assert asked.location == "/shop/auth/login?next=/shop/auth/sessions"
    name = new_name()
    assert person.register(name).location.startswith("/shop/")
    where = "/auth/login?next=/shop/auth/password"
    fields = {"name": name, "password": PASSWORD, "csrf_token": person.token(where)}
    assert person.post(where, fields).location == "/shop/auth/password"
    assert app.config["SESSION_COOKIE_NAME"] == "session-shop"
    assert person.session_id
    for path in ("/", "/auth/password", "/no-such-page"):
        links = re.findall(r'(?:href|src|action)="([^"#]+)', person.get(path).text)
        assert [link for link in links if not link.startswith(("/shop/", "http"))] == [], path


def test_next_outside_it_is_ignored(redis) -> None:
    person = Browser(make_app(redis, STACK_PREFIX="/shop"))
    person.environ["SCRIPT_NAME"] = "/shop"
    assert person.register(new_name()).status_code == 303
    for outside in ("/auth/password", "/shopping/auth/password", "/shop"):
        where = f"/auth/login?next={outside}"
        fields = {"name": person.name, "password": PASSWORD, "csrf_token": person.token(where)}
        assert person.post(where, fields).location == "/shop/home"
