"""Malformed requests to every route get a client's error, never a 5xx.

The routes come from the app itself, so a new one is included. Tokens are right in half of the
requests: the others end at the check of the token.
"""

from __future__ import annotations

import logging
import re
from urllib.parse import quote

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.people.in_process import Browser, admin, make_app, member
from tests.servers.redis import RedisServer

# `/workload/` is for the lab; these end sessions that the other examples need.
LEFT_OUT = ("workload.", "static", "admin.end_all_sessions", "auth.logout")
FIELDS = (
    *("name", "password", "repeated", "current", "title", "text", "remember", "role", "version"),
    *("csrf_token", "next", "_flashes", ""),
)
text = st.text(st.characters(codec="utf-8"), max_size=40)
odd = st.one_of(
    text,
    st.sampled_from(("\0", "a" * 5000, "ㅤ", "../../", "//x", "1e999", "-1", "9" * 400, "\r\nX: y")),
)
boundary = "the-edge"
part_heads = st.sampled_from(
    (
        'Content-Disposition: form-data; name="name"',
        "Content-Disposition: form-data",
        "Content-Disposition: attachment; filename*=UTF-8''%ff%fe",
        'Content-Disposition: form-data; name="text"; filename="\\\\"',
        'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=no-such',
        "Content-Type: \xff",
        "",
        ":",
    )
)


@st.composite
def multipart(draw: st.DrawFn) -> tuple[str, bytes]:
    heads = draw(st.lists(part_heads, min_size=1, max_size=3))
    parts = [f"--{boundary}\r\n{head}\r\n\r\n{draw(odd)}\r\n" for head in heads]
    whole = draw(st.integers(0, 3)) > 0
    end = f"--{boundary}--\r\n" if whole else draw(st.sampled_from((f"--{boundary}", "")))
    cut = st.sampled_from(("", "; boundary=", '; boundary="', "; boundary=other"))
    kind = f"; boundary={boundary}" if whole else draw(cut)
    return f"multipart/form-data{kind}", ("".join(parts) + end).encode()


@st.composite
def form(draw: st.DrawFn) -> tuple[str, bytes | dict[str, str]]:
    fields = draw(st.dictionaries(st.sampled_from(FIELDS), odd, max_size=5))
    return "application/x-www-form-urlencoded", fields


raw = st.tuples(
    st.sampled_from(
        (
            *("application/json", "application/x-www-form-urlencoded", "text/plain", ""),
            *("application/json; charset=utf-99", "multipart/form-data", "a/b/c;;="),
        )
    ),
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            (b"[" * 3000, b"%ff%fe=%zz&=&&a", b'{"name": 1}', b"[1]", b"null", b"\xff", b"1e999")
        ),
    ),
)
headers = st.dictionaries(
    st.sampled_from(
        (
            *("Accept", "Accept-Language", "Authorization", "Cookie", "Range", "If-None-Match"),
            *("If-Modified-Since", "Referer", "Origin", "User-Agent", "X-Request-ID"),
            *("X-Forwarded-For", "X-Requested-With", "Content-Encoding", "Expect"),
        )
    ),
    st.text(
        st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60
    ),
    max_size=3,
)


@pytest.fixture(scope="module")
def app(redis: RedisServer) -> Flask:
    return make_app(redis, STACK_INSIDE="users")


@pytest.fixture(scope="module")
def routes(app: Flask) -> list[tuple[str, str]]:
    """Every pair of method and rule, and methods that no rule has."""
    rules = [r for r in app.url_map.iter_rules() if not r.endpoint.startswith(LEFT_OUT)]
    return sorted({(way, rule.rule) for rule in rules for way in (*rule.methods, "PUT", "TRACE")})


def test_every_route_refuses_what_is_malformed(
    app: Flask, routes: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    forms = [route for route in routes if route[0] == "POST"]
    assert len(forms) > 5
    people = (Browser(app), admin(app)[0])
    tokens = [person.token("/auth/login") for person in people]
    someone = member(app)[1]
    known = {"user_id": app.extensions["security"].find(someone).id}
    if "app.posts" in app.blueprints:
        known["post_id"] = people[1].write().rpartition("/")[2]

    @settings(
        max_examples=800,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        method, path = data.draw(st.sampled_from(data.draw(st.sampled_from((routes, forms)))))
        for part, name in re.findall(r"(<(?:[^<>]*:)?(\w+)>)", path):
            values = (known[name],) if name in known else ()
            path = path.replace(part, quote(data.draw(st.one_of(odd, *map(st.just, values))), ""))
        kind, body = data.draw(st.one_of(form(), multipart(), raw))
        number = data.draw(st.integers(0, 1))
        sent = data.draw(headers)
        if data.draw(st.booleans()):
            sent = {**sent, "X-CSRFToken": tokens[number]}
        answer = people[number].client.open(
            path,
            method=method,
            query_string=data.draw(st.dictionaries(st.sampled_from(FIELDS), odd, max_size=2)),
            data=body,
            content_type=kind,
            headers=sent,
            environ_overrides=people[number].environ,
        )
        assert answer.status_code < 500, (method, path, kind, body)

    ask()
    assert people[1].who() is not None, "the admin was logged in to the end"
