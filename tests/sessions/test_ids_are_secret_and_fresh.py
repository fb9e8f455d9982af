"""No value in Redis opens a session, ids come from the server, and they change with privileges."""

import string

import pytest

from app.sessions import RedisSessionInterface
from tests.sessions.pages import KEY, client_of, cookie_of, logged_in, make_app


@pytest.fixture(scope="module")
def app(any_redis):
    return make_app(client_of(any_redis))


def everything_in(server, data):
    """A dump of all keys and values, and the append-only file."""
    files = [path.read_bytes() for path in data.rglob("*") if path.is_file()]
    return b"".join(files)


def with_cookie(app, value):
    browser = app.test_client()
    browser.set_cookie("session", value)
    return browser


def test_redis_holds_no_cookie_value(any_redis, app):
    cookies = []
    for number in range(10):
        browser = logged_in(app, f"user-{number}")
        browser.post("/rotate")
        cookies.append(cookie_of(browser))
    stored = everything_in(any_redis, any_redis.folder / "data")
    assert b"@born" in stored
    for cookie in cookies:
        assert cookie.encode() not in stored
        # The tag is public; the secret after it is not.
        assert cookie[12:].encode() not in stored


def test_what_redis_holds_opens_nothing(app):
    browser = logged_in(app)
    handle = app.session_interface._store.handle(cookie_of(browser))
    tag = cookie_of(browser)[:12]
    for guess in (handle[:55], tag + handle[:43], handle):
        assert with_cookie(app, guess).get("/whoami").status_code == 401


def test_another_secret_key_means_other_sessions(any_redis, app):
    browser = logged_in(app)
    other = make_app(client_of(any_redis), key=KEY[::-1])
    assert with_cookie(other, cookie_of(browser)).get("/whoami").status_code == 401
    assert with_cookie(app, cookie_of(browser)).get("/whoami").status_code == 200


def test_a_planted_id_is_never_adopted(app):
    planted = "A" * 55
    browser = with_cookie(app, planted)
    browser.post("/set/a", json=1)
    assert cookie_of(browser) != planted
    assert cookie_of(browser)[:12] != planted[:12]
    browser = with_cookie(app, planted)
    browser.post("/login/ann")
    assert cookie_of(browser) != planted
    assert with_cookie(app, planted).get("/all").json == {}


@pytest.mark.parametrize("path", ["/login/ann", "/rotate", "/login/somebody-else"])
def test_the_id_changes_and_the_old_one_is_gone(app, path):
    browser = logged_in(app)
    browser.post("/set/a", json=1)
    before = cookie_of(browser)
    browser.post(path)
    assert cookie_of(browser) != before
    assert with_cookie(app, before).get("/all").json == {}


def test_login_keeps_what_a_stranger_had(app):
    browser = app.test_client()
    browser.post("/set/cart", json=["book"])
    before = cookie_of(browser)
    browser.post("/login/ann")
    assert browser.get("/all").json == {"cart": ["book"], "user": "ann"}
    assert with_cookie(app, before).get("/all").json == {}


def test_nothing_of_one_user_reaches_the_next(app):
    browser = logged_in(app, "ann")
    browser.post("/set/diary", json="private")
    browser.post("/login/ben")
    assert browser.get("/all").json == {"user": "ben"}


def test_ids_have_256_random_bits(app):
    store = app.session_interface._store
    ids = [store.new_id() for _ in range(2000)]
    secrets = {session_id[12:] for session_id in ids}
    assert len(secrets) == 2000
    alphabet = set(string.ascii_letters + string.digits + "-_")
    assert {len(secret) for secret in secrets} == {43}  # 43 characters of 6 bits: 256 bits
    for place in range(42):
        assert {secret[place] for secret in secrets} == alphabet


def test_a_short_secret_key_is_refused():
    with pytest.raises(ValueError, match="at least 16 bytes"):
        RedisSessionInterface(object(), key="short")
