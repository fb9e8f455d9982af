"""Changing the password, disabling and deleting end sessions from the next request on."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.people.in_process import OTHER_PASSWORD, PASSWORD, Browser, member


@pytest.fixture
def security(app):
    return app.extensions["security"]


def two_browsers(app):
    here, name = member(app, agent="Firefox/1")
    there = Browser(app, agent="Chrome/1")
    assert there.log_in(name).status_code == 303
    return here, there, name


def change_password(browser, current=PASSWORD, new=OTHER_PASSWORD):
    return browser.send("/auth/password", current=current, password=new, repeated=new)


def test_a_change_of_password_ends_the_others(app):
    here, there, name = two_browsers(app)
    assert change_password(here).status_code == 303
    assert (here.who(), there.who()) == (name, None)
    assert there.log_in(name).status_code == 401
    assert there.log_in(name, OTHER_PASSWORD).status_code == 303


def test_the_current_password_is_asked_for(app):
    here, there, name = two_browsers(app)
    refused = change_password(here, current="not the password")
    assert refused.status_code == 401 and 'id="current-error"' in refused.text
    assert there.who() == name
    assert there.log_in(name).status_code == 303


def test_a_weak_new_password_changes_nothing(app):
    here, there, name = two_browsers(app)
    assert change_password(here, new="password").status_code == 400
    assert (here.who(), there.who()) == (name, name)


@pytest.mark.parametrize("change", ["disable", "delete", "set_password", "revoke role", "end all"])
def test_what_an_admin_does_ends_all(app, security, change):
    here, there, name = two_browsers(app)
    user = security.find(name)
    match change:
        case "disable":
            security.set_active(user, False)
        case "delete":
            security.delete(user)
        case "set_password":
            security.set_password(user, OTHER_PASSWORD)
        case "revoke role":
            security.change_roles(user, revoke=["moderator"])
        case "end all":
            security.end_sessions(user)
    assert (here.who(), there.who()) == (None, None)
    assert security.sessions.sessions_of(user.id) == []


def test_a_disabled_user_is_refused_until_enabled(app, security):
    _, name = member(app)
    security.set_active(security.find(name), False)
    browser = Browser(app)
    refused = browser.log_in(name)
    assert refused.status_code == 401
    assert refused.text.count(name) == 1, "only in the field that they have filled in"
    security.set_active(security.find(name), True)
    assert browser.log_in(name).status_code == 303


def test_a_deleted_name_can_be_taken_again_and_opens_nothing_old(app, security):
    ada, name = member(app)
    security.delete(security.find(name))
    other = Browser(app)
    assert other.register(name, OTHER_PASSWORD).status_code == 303
    assert ada.who() is None
    assert ada.log_in(name).status_code == 401


def test_a_login_under_way_does_not_survive_a_change_of_password(app, security):
    """The password is checked, then changed elsewhere, then the session begins."""
    _, name = member(app)
    late = Browser(app)
    log_in = security.log_in

    def slowly(user):
        security.set_password(security.find(name), OTHER_PASSWORD)
        log_in(user)

    security.log_in = slowly
    try:
        late.log_in(name)
    finally:
        del security.log_in
    assert late.who() is None


@pytest.mark.parametrize("change", ["set_password", "set_active"])
def test_a_change_of_password_under_way_does_not_undo_another(app, security, monkeypatch, change):
    """The present password is checked; then somebody else changes the account."""
    thief, name = member(app)
    hash_ = security._hash

    def meanwhile(password):
        monkeypatch.undo()
        user = security.find(name)
        argument = "what the owner asked an admin for" if change == "set_password" else False
        with ThreadPoolExecutor(1) as shell:
            shell.submit(getattr(security, change), user, argument).result()
        return hash_(password)

    monkeypatch.setattr(security, "_hash", meanwhile)
    answer = change_password(thief)
    assert (answer.status_code, answer.location) == (303, "/auth/login")
    assert thief.who() is None
    security.set_active(security.find(name), True)
    assert Browser(app).log_in(name, OTHER_PASSWORD).status_code == 401


def test_renewing_an_old_hash_does_not_undo_a_change_of_password(app, security):
    _, name = member(app)
    old = security.users.by_name(name)
    security.set_password(security.find(name), OTHER_PASSWORD)
    fresh = security.hasher.hash(PASSWORD)
    assert not security.users.update(old.user, epoch=old.user.epoch, password_hash=fresh)
    assert Browser(app).log_in(name, OTHER_PASSWORD).status_code == 303


def test_a_hash_with_old_parameters_is_renewed_at_login(app, security):
    _, name = member(app)

    class Light(type(security.hasher)):
        memory_kib = 8 * 1024

    found = security.users.by_name(name)
    light = Light().hash(PASSWORD)
    assert security.users.update(found.user, epoch=found.user.epoch, password_hash=light)
    browser = Browser(app)
    assert browser.log_in(name).status_code == 303
    renewed = security.users.by_name(name).password_hash
    assert "m=19456,t=2,p=1" in renewed
    assert browser.who() == name, "renewing a hash ends no session"
    assert browser.log_in(name).status_code == 303


def test_changes_at_the_same_time_both_count(app, security):
    _, name = member(app)
    one, other = security.find(name), security.find(name)
    security.change_roles(one, grant=["moderator"])
    security.change_roles(other, grant=["admin"])
    assert list(security.find(name).roles) == ["admin", "moderator"]


def test_a_session_of_ones_own_can_be_ended_from_the_list(app):
    here, there, name = two_browsers(app)
    page = here.get("/auth/sessions").text
    assert "Firefox" in page and "Chrome" in page and page.count("this session") == 1
    security = app.extensions["security"]
    found = security.sessions.sessions_of(security.find(name).id)
    (handle,) = (one.handle for one in found if one.user_agent == "Chrome/1")
    assert here.send(f"/auth/sessions/{handle}/end", page="/auth/sessions").status_code == 303
    assert (here.who(), there.who()) == (name, None)


def test_all_others_can_be_ended_at_once(app):
    here, there, name = two_browsers(app)
    assert here.send("/auth/sessions/end-others", page="/auth/sessions").status_code == 303
    assert (here.who(), there.who()) == (name, None)


def test_nobody_can_end_a_session_of_somebody_else(app, security):
    here, _, _ = two_browsers(app)
    _, victim = member(app)
    found = security.sessions.sessions_of(security.find(victim).id)
    here.send(f"/auth/sessions/{found[0].handle}/end", page="/auth/sessions")
    assert len(security.sessions.sessions_of(security.find(victim).id)) == 1


def test_all_sessions_of_all_users_end(app, security):
    ada, _ = member(app)
    bob, _ = member(app)
    security.end_all_sessions()
    assert (ada.who(), bob.who()) == (None, None)


def test_the_list_of_sessions_has_pages(app):
    here, name = member(app)
    for _ in range(24):
        assert Browser(app).log_in(name).status_code == 303
    pages = [here.get(f"/auth/sessions?page={n}").text for n in (1, 2, 3, -1)]
    assert [page.count('action="/auth/sessions/') - 1 for page in pages] == [20, 5, 0, 20]
    assert 'rel="next" href="/auth/sessions?page=2"' in pages[0]
    assert 'rel="prev" href="/auth/sessions?page=1"' in pages[1]
    assert 'rel="next"' not in pages[1]
