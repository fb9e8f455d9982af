"""A post that is too long is refused with a message that states by how much."""

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from app.posts.forms import TEXT_LIMIT, TITLE_LIMIT, PostForm, tidy, tidy_line


@pytest.fixture(scope="module", autouse=True)
def request_context():
    app = Flask("app")
    app.config.update(SECRET_KEY=b"k" * 32, WTF_CSRF_ENABLED=False)
    with app.test_request_context(method="POST"):
        yield


def errors(title="A title", text="A text"):
    from werkzeug.datastructures import MultiDict

    form = PostForm(formdata=MultiDict({"title": title, "text": text}))
    return {} if form.validate() else form.errors


def test_the_limit_is_accepted():
    assert errors("t" * TITLE_LIMIT, "x" * TEXT_LIMIT) == {}


def test_the_message_states_the_excess():
    found = errors("t" * (TITLE_LIMIT + 3), "x" * (TEXT_LIMIT + 1))
    assert "3 characters too long: it has 123, the limit is 120" in found["title"][0]
    assert "1 characters too long" not in found["text"][0]
    assert "1 character too long: it has 10,001, the limit is 10,000" in found["text"][0]


@pytest.mark.parametrize("blank", ["", " ", "\r\n\t ", "\x00\x07", "\u3000"])
def test_blank_fields_are_missing(blank):
    assert errors(blank, blank) == {
        "title": ["The title is missing."],
        "text": ["The text is missing."],
    }


def test_a_line_end_counts_once():
    """Browsers count it once for maxlength and send two characters."""
    assert errors(text="x\r\n" * (TEXT_LIMIT // 2)) == {}


def test_paragraphs_stay_and_surrounding_space_goes():
    assert tidy("\r\n  one\r\n\r\ntwo\rthree \n") == "one\n\ntwo\nthree"
    assert tidy_line("  a \n title\twith   gaps ") == "a title with gaps"


@given(st.text())
def test_tidying_twice_changes_nothing_more(text):
    assert tidy(tidy(text)) == tidy(text)
    assert not set(tidy(text)) & {chr(n) for n in (*range(9), 11, 12, *range(14, 32), 127)}
    assert "\n" not in tidy_line(text)
