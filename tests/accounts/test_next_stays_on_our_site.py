"""`next=` leads only to pages of this app, and no value of it causes a server error."""

from itertools import product
from urllib.parse import urlsplit

import pytest

from tests.people.in_process import PASSWORD, Browser, member

HOST = "evil.example"
SCHEMES = ["http:", "https:", "ftp:", "javascript:", "data:", "vbscript:", "HTTP:", "hTtPs:", ""]
SLASHES = ["//", "///", "////", "/\\", "\\/", "\\\\", "\\", "//\\", "/\\/", "/", ""]
CONTROLS = ["\t", "\n", "\r", "\r\n", "\x00", "\x0b", "\x0c", "\x1f", "\x7f", "\x85", "\xa0", " "]
ODD = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)//",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    f"//{HOST}@localhost/",
    f"//localhost@{HOST}/",
    f"//localhost:80@{HOST}/",
    f"http://localhost@{HOST}/",
    f"http:/{HOST}",
    f"http:{HOST}",
    f"/%2f{HOST}",
    f"/%2f%2f{HOST}",
    f"/%5c{HOST}",
    f"/%5c%5c{HOST}",
    f"/%09/{HOST}",
    f"/%0a/{HOST}",
    f"/%0d%0aLocation:%20http://{HOST}",
    "/posts/\r\nSet-Cookie: a=b",
    "/posts/%0d%0aSet-Cookie:a=b",
    f"/..//{HOST}",
    f"/.//{HOST}",
    f"/posts/..//{HOST}",
    f"/;//{HOST}",
    f"?//{HOST}",
    f"#//{HOST}",
    f".{HOST}",
    f"@{HOST}",
    f":80@{HOST}",
    f"\u2215\u2215{HOST}",
    f"\uff0f\uff0f{HOST}",
    f"/\uff0f{HOST}",
    f"\u3002{HOST}",
    f"//{HOST}\u3002com",
    "//[::1]/",
    "//[",
    "//[::1",
    "http://[",
    "http://[::1]]/",
    "//\u2100.example/",
    "/\ud7ff",
    "/\u202e/",
    "%",
    "/%",
    "/%zz",
    "/%c0%af",
    "/%ff",
    "/%u002f",
    "/" * 3000,
    "/" + "a" * 10_000,
    "/posts/?" + "q=" * 5_000,
    "/auth/logout",
    "/auth/login",
    "/auth/login?next=//" + HOST,
    "/auth/reauthenticate",
    "/auth/register",
    "/nowhere",
    "/posts",
    "/admin/users/1/disable",
    "posts/",
    "../posts/",
    "*",
    "",
    " ",
    "null",
    "None",
]
HOSTILE = list(
    dict.fromkeys(
        [scheme + slashes + HOST for scheme, slashes in product(SCHEMES, SLASHES)]
        + [f"{mark}//{HOST}" for mark in CONTROLS]
        + [f"/{mark}/{HOST}" for mark in CONTROLS]
        + [f"//{mark}{HOST}" for mark in CONTROLS]
        + [f"/posts/{mark}" for mark in CONTROLS]
        + [f"/%{ord(mark[0]):02x}/{HOST}" for mark in CONTROLS]
        + ODD
    )
)
OURS = [
    "/",
    f"/?next=//{HOST}",
    "/home",
    "/home?page=2",
    "/auth/sessions",
    "/home#a",
    "/home?q=%2F%2Fx%20y",
]


def test_the_corpus_is_large():
    assert len(HOSTILE) >= 200


def stays(location):
    """As a browser reads it: no scheme, no host, no second slash."""
    assert location.isascii() and location.isprintable(), location
    assert location.startswith("/") and not location.startswith(("//", "/\\")), location
    parts = urlsplit(location)
    assert (parts.scheme, parts.netloc) == ("", ""), location
    assert HOST not in parts.path, location
    return True


@pytest.fixture(scope="module")
def known(app):
    """Replaces the slow hash: the tests are about what follows the login."""
    _, name = member(app)
    security = app.extensions["security"]
    user = security.find(name)
    security.authenticate = lambda *_: user
    yield name
    del security.authenticate


def test_no_hostile_value_leads_away(app, known):
    browser = Browser(app)
    token = browser.token("/auth/login")
    for value in HOSTILE:
        for _ in range(2):
            answer = browser.client.post(
                "/auth/login",
                query_string={"next": value},
                data={"name": known, "password": PASSWORD, "csrf_token": token},
            )
            if answer.status_code != 400:  # the previous login has replaced the token
                break
            token = browser.token("/auth/login")
        assert answer.status_code == 303, (value, answer.status_code)
        assert answer.location == "/home", (value, answer.location)


def test_no_hostile_page_address_leads_away(app):
    """The page from which a stranger is sent to the login is attacker-controlled too."""
    browser = Browser(app)
    for value in HOSTILE:
        path = "/" + value.lstrip("/")
        answer = browser.client.get("/home", query_string={"next": value, value: value})
        assert answer.status_code == 302 and stays(answer.location), value
        answer = browser.client.get("/home" + path.split("#")[0].split("?")[0])
        assert answer.status_code < 500, value
        if answer.location:
            assert HOST not in (urlsplit(answer.location).netloc), value


@pytest.mark.parametrize("page", OURS)
def test_pages_of_ours_are_led_to(app, known, page):
    browser = Browser(app)
    token = browser.token("/auth/login")
    answer = browser.client.post(
        "/auth/login",
        query_string={"next": page},
        data={"name": known, "password": PASSWORD, "csrf_token": token},
    )
    assert (answer.status_code, answer.location) == (303, page)


def test_the_way_back_keeps_the_query(app):
    answer = Browser(app).get("/home?page=3&q=a%20b")
    assert answer.location == "/auth/login?next=/home?page%3D3%26q%3Da%2520b"
