"""Password fields are masked, fillable by password managers, and never sent back filled."""

import re

import pytest

from app.security.passwords import MAX_LENGTH
from tests.people.in_process import PASSWORD, Browser, make_app, member, new_name

# page: its password fields, in order
FIELDS = {
    "/auth/login": ["current-password"],
    "/auth/register": ["new-password", "new-password"],
    "/auth/reauthenticate": ["current-password"],
    "/auth/password": ["current-password", "new-password", "new-password"],
}


@pytest.fixture(scope="module")
def app(redis):
    return make_app(redis)


def password_fields(page):
    inputs = re.findall(r"<input\b[^>]*>", page)
    return [tag for tag in inputs if re.search(r'name="(password|repeated|current)"', tag)]


@pytest.mark.parametrize("path", FIELDS)
def test_masked_and_open_to_password_managers(app, path):
    ada, _ = member(app)
    found = password_fields(ada.get(path).text)
    assert [re.search(r'autocomplete="([^"]+)"', tag)[1] for tag in found] == FIELDS[path]
    for tag in found:
        assert 'type="password"' in tag
        longest = re.search(r'maxlength="(\d+)"', tag)
        assert longest is None or int(longest[1]) >= MAX_LENGTH, "pasted, it would be cut unseen"
        assert not re.search(r"\b(readonly|disabled|onpaste)\b", tag)


@pytest.mark.parametrize("path", FIELDS)
def test_a_refused_form_does_not_send_them_back(app, path):
    ada, name = member(app)
    person = ada if path in {"/auth/reauthenticate", "/auth/password"} else Browser(app)
    typed = {"password": "typed-by-mistake", "repeated": "typed-otherwise", "current": "typed-too"}
    page = person.send(path, name=name if path == "/auth/login" else new_name(), **typed)
    assert page.status_code in {400, 401}
    assert len(password_fields(page.text)) == len(FIELDS[path])
    assert "typed-" not in page.text and PASSWORD not in page.text
