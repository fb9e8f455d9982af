"""Parallel requests that change different keys of one session all succeed."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sessions.pages import client_of, cookie_of, logged_in, make_app

KEYS = [f"key-{number}" for number in range(100)]


@pytest.fixture(scope="module")
def app(any_redis):
    return make_app(client_of(any_redis))


def at_once(app, browser, action, items):
    """Run `action(client, item)` for all items in 16 threads, each with the browser's cookie."""

    def one(item):
        client = app.test_client()
        client.set_cookie("session", cookie_of(browser))
        return action(client, item).status_code

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(one, items)) == {200}


def test_a_hundred_keys_set_at_once_are_a_hundred_keys(app):
    browser = logged_in(app)
    at_once(app, browser, lambda client, key: client.post(f"/set/{key}", json=key), KEYS)
    assert browser.get("/all").json == {"user": "ann"} | {key: key for key in KEYS}


def test_so_are_removals(app):
    browser = logged_in(app)
    for key in KEYS[:20]:
        browser.post(f"/set/{key}", json=1)
    at_once(app, browser, lambda client, key: client.post(f"/delete/{key}"), KEYS[:19])
    assert browser.get("/all").json == {"user": "ann", KEYS[19]: 1}


def test_changes_survive_a_rotation_in_between(app):
    """Each change is applied or comes after the old id ended; none damages the session."""
    browser = logged_in(app)
    for number in range(20):
        browser.post(f"/set/before-{number}", json=number)
        browser.post("/rotate")
    assert len(browser.get("/all").json) == 21


def test_a_change_inside_a_value_is_seen(app):
    browser = logged_in(app)
    browser.post("/set/nested", json={"list": []})
    for _ in range(3):
        browser.post("/nested")
    assert browser.get("/get/nested").json == {"list": [0, 1, 2]}
