"""Every page behind the login has a button that logs out."""

import re

import pytest

from tests.people.in_process import Browser, admin, make_app


@pytest.fixture(scope="module")
def app(redis):
    return make_app(redis)


def pages(app, user_id, post_id):
    for rule in app.url_map.iter_rules():
        if "GET" in rule.methods and rule.endpoint != "static":
            path = re.sub(r"<[^>]*user_id>", user_id, rule.rule)
            path = re.sub(r"<[^>]*post_id>", post_id, path)
            assert "<" not in path, f"{path}: replace its argument here"
            yield path


def test_there_and_working(app):
    root, name = admin(app)
    user_id = app.extensions["security"].find(name).id
    post_id = root.write()[-16:] if "posts" in app.blueprints else ""
    seen = []
    for path in pages(app, user_id, post_id):
        answer = root.get(path, Accept="text/html")
        stranger = Browser(app).get(path, Accept="text/html")
        behind_the_login = stranger.status_code == 302 and "/auth/login" in stranger.location
        if not behind_the_login or answer.mimetype != "text/html" or answer.location:
            continue
        assert answer.status_code == 200, path
        (form,) = re.findall(r'<form [^>]*action="/auth/logout".*?</form>', answer.text, re.S)
        assert 'method="post"' in form and "Log out" in form, path
        seen.append(path)
    assert len(seen) >= 4, seen
    token = re.search(r'name="csrf_token" value="([^"]+)"', form)[1]
    assert root.post("/auth/logout", {"csrf_token": token}).status_code == 303
    assert root.who() is None
