"""The app reads cookies on a shorter way than Flask, and reads the same."""

import flask
import pytest

from app.errors import Request

HEADERS = [
    None, "", "a=1; b=2;b=3", 'a="x\\012y"; =; ;;', "n=\xff\xfe", "\x00=1; n=\xc3\xa4", "a=b=c;",
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
def test_every_header_gives_the_same(header):
    environ = {"REQUEST_METHOD": "GET"} | ({} if header is None else {"HTTP_COOKIE": header})
    cookies, expected = Request(environ).cookies, flask.Request(environ).cookies
    assert type(cookies) is type(expected)
    assert list(cookies.items(multi=True)) == list(expected.items(multi=True))
