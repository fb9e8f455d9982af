"""What a user reads in a response: forms, tokens, static files."""

import pytest

from loadtest import pages

FORM = """
<header><nav><form action="/auth/logout"><input type="hidden" name="csrf_token" value="t1">
</form></nav></header><nav class="pager">2</nav>
<form method="post"><input id="x" name="csrf_token" type="hidden" value="t2">
<input name="name"><input type="password" name="password"><input type=password name=repeated>
<input type="checkbox" name="remember"><textarea name="text"></textarea><button>Go</button></form>
"""


def test_a_form_is_filled_as_a_browser_would() -> None:
    assert pages.fill(FORM, {"name": "ada", "text": "hi"}, password="secret") == {
        "csrf_token": "t2",
        "name": "ada",
        "password": "secret",
        "repeated": "secret",
        "text": "hi",
    }


def test_a_form_that_asks_for_more_is_an_error() -> None:
    with pytest.raises(pages.FormError, match="also asks for 'text'"):
        pages.fill(FORM, {"name": "ada"})
    with pytest.raises(pages.FormError, match="no form with the field e-mail"):
        pages.fill(FORM, {"e-mail": "x"})


@pytest.mark.parametrize(
    "field",
    [
        '<input type="hidden" name="csrf_token" value="a.b-c">',
        "<input name='csrf_token' type='hidden' value='a.b-c'>",
        '<input id="csrf_token" value="a.b-c" name="csrf_token" type="hidden">',
    ],
)
def test_the_token_is_found_however_it_is_written(field: str) -> None:
    assert pages.csrf_token(f"<form>{field}</form>") == "a.b-c"
    assert pages.csrf_token("<p>none</p>") is None


def test_assets_are_our_own_and_counted_once() -> None:
    html = '<link href="/static/a.css"><img src=/static/b.svg><img src="/static/b.svg">'
    html += '<a href="/posts/"><script src="https://elsewhere.example/static/c.js">'
    assert pages.assets(html) == ["/static/a.css", "/static/b.svg"]
    below = html.replace("/static", "/shop/static")
    assert pages.assets(below, "/shop") == ["/static/a.css", "/static/b.svg"]


def test_the_head_is_all_headers_and_navigation() -> None:
    head = pages.head(FORM + "<main>somebody</main>")
    assert "t1" in head
    assert "pager" in head
    assert "somebody" not in head
