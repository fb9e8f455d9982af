"""With TLS the app sets a session's and a browser's cookie, with every protection."""

import pytest
from werkzeug.http import parse_cookie

from tests.people.in_process import OTHER_PASSWORD, PASSWORD, Browser, make_app, new_name


@pytest.fixture(scope="module")
def app(redis):
    return make_app(redis, STACK_TLS="on")


class RecordingBrowser(Browser):
    """Uses HTTPS and records every response."""

    def __init__(self, app):
        super().__init__(app)
        self.environ |= {"wsgi.url_scheme": "https", "HTTP_REFERER": "https://localhost/"}
        self.answers = []

    def get(self, path, **headers):
        self.answers.append(super().get(path, **headers))
        return self.answers[-1]

    def post(self, path, fields, **headers):
        self.answers.append(super().post(path, fields, **headers))
        return self.answers[-1]


def test_from_registration_to_logout(app):
    ada, name = RecordingBrowser(app), new_name()
    assert ada.register(name).status_code == 303
    assert ada.send("/auth/reauthenticate", password=PASSWORD).status_code == 303
    changed = ada.send(
        "/auth/password", current=PASSWORD, password=OTHER_PASSWORD, repeated=OTHER_PASSWORD
    )
    assert changed.status_code == 303
    for page in ("/", "/home", "/auth/sessions", "/auth/whoami"):
        assert ada.get(page).status_code == 200
    assert ada.send("/auth/logout", page="/auth/sessions").status_code == 303

    cookies = [line for answer in ada.answers for line in answer.headers.getlist("Set-Cookie")]
    values = set()
    for line in cookies:
        pair, *attributes = [part.strip() for part in line.split(";")]
        ((cookie, value),) = parse_cookie(pair).items()
        assert cookie in {"__Host-session", "__Host-session-browser"}
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(attributes), line
        assert not any(attribute.startswith("Domain") for attribute in attributes), line
        assert len(cookie) + len(value) <= 4096
        values.add(value)
    ids = values - {""}
    assert len(ids) >= 4, (
        "one each for the form, the registration, the confirmed and the changed password"
    )
    for answer in ada.answers:
        headers = [text for key, text in answer.headers if key != "Set-Cookie"]
        for session_id in ids:
            assert session_id not in answer.text
            assert not any(session_id in text for text in headers)


def test_a_form_from_another_site_is_refused_even_with_its_token(app):
    """With HTTPS, Flask-WTF also checks the Referer."""
    ada, name = RecordingBrowser(app), new_name()
    token = ada.token("/auth/register")
    fields = {"name": name, "password": PASSWORD, "repeated": PASSWORD, "csrf_token": token}
    ada.environ["HTTP_REFERER"] = "https://evil.example/"
    assert ada.post("/auth/register", fields).status_code == 400
    ada.environ["HTTP_REFERER"] = "https://localhost/"
    assert ada.post("/auth/register", fields).status_code == 303
