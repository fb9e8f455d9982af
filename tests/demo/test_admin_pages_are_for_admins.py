"""Only admins with a recently entered password see the admin pages. Each action takes effect."""

import time

import pytest

from tests.people.in_process import Browser, admin, member


@pytest.fixture
def security(app):
    found = app.extensions["security"]
    yield found
    found.clock = time.time


def admin_rules(app):
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("admin.")]


def concrete(rule):
    return rule.rule.replace("<user_id>", "0" * 32).replace("<handle>", "0" * 64)


def test_every_page_refuses_anonymous_visitors_and_members(app):
    ada, _ = member(app)
    stranger = Browser(app)
    token, strange_token = ada.token("/auth/sessions"), stranger.token("/auth/login")
    rules = admin_rules(app)
    assert len(rules) >= 11
    for rule in rules:
        path = concrete(rule)
        if "GET" in rule.methods:
            assert ada.get(path).status_code == 403, path
            assert stranger.get(path).status_code == 302, path
            assert stranger.get(path, Accept="application/json").status_code == 401, path
        else:
            assert ada.post(path, {"csrf_token": token}).status_code == 403, path
            answer = stranger.post(path, {"csrf_token": strange_token})
            assert answer.status_code == 302, path
            assert answer.location.startswith("/auth/login"), path


def test_the_list_shows_all_accounts_and_finds_any_spelling(app):
    root, _ = admin(app)
    _, name = member(app)
    assert f">{name}<" in root.get("/admin/users").text
    found = root.get(f"/admin/users?name={name.upper()}")
    assert found.status_code == 303 and found.location.startswith("/admin/users/")
    assert f">{name}<" in root.get(found.location).text
    assert "no account with this name" in root.get("/admin/users?name=nobody-here").text
    assert root.get("/admin/users?page=0").status_code == 404
    assert "no accounts on this page" in root.get("/admin/users?page=999").text


def test_roles_page_names_permissions(app):
    root, _ = admin(app)
    page = root.get("/admin/roles").text
    assert "users.manage" in page and "content.moderate" in page


def test_grant_and_revoke(app, security):
    root, _ = admin(app)
    _, name = member(app)
    path = f"/admin/users/{security.find(name).id}"
    assert root.send(f"{path}/grant", page=path, role="moderator").status_code == 303
    assert list(security.find(name).roles) == ["moderator"]
    assert root.send(f"{path}/revoke", page=path, role="moderator").status_code == 303
    assert list(security.find(name).roles) == []
    assert root.send(f"{path}/grant", page=path, role="emperor").status_code == 400


def test_disable_enable_and_delete(app, security):
    root, _ = admin(app)
    ada, name = member(app)
    path = f"/admin/users/{security.find(name).id}"
    root.send(f"{path}/disable", page=path)
    assert ada.who() is None and not security.find(name).is_active
    root.send(f"{path}/enable", page=path)
    assert ada.log_in(name).status_code == 303
    root.send(f"{path}/delete", page=path, name="somebody else")
    assert security.find(name) is not None
    root.send(f"{path}/delete", page=path, name=name)
    assert security.find(name) is None and ada.who() is None
    assert root.get(path).status_code == 404


def test_an_admin_sees_and_ends_the_sessions_of_a_user(app, security):
    root, _ = admin(app)
    ada, name = member(app, agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
    user_id = security.find(name).id
    path = f"/admin/users/{user_id}"
    assert "Firefox on Linux" in root.get(path).text
    (one,) = security.sessions.sessions_of(user_id)
    assert root.send(f"{path}/sessions/{one.handle}/end", page=path).status_code == 303
    assert ada.who() is None
    ada.log_in(name)
    assert root.send(f"{path}/sessions/end", page=path).status_code == 303
    assert ada.who() is None


@pytest.mark.parametrize("action", ["disable", "delete", "revoke"])
def test_an_admin_cannot_lock_themselves_out(app, security, action):
    root, name = admin(app)
    path = f"/admin/users/{security.find(name).id}"
    assert root.send(f"{path}/{action}", page=path, role="admin", name=name).status_code == 403
    assert root.who() == name and "admin" in security.find(name).roles


def test_a_role_that_no_longer_exists_permits_nothing(app, security):
    ada, name = member(app)
    user = security.find(name)
    user.roles = ("emperor",)
    assert security.users.update(user, epoch=user.epoch)
    assert ada.get("/admin/users").status_code == 403


@pytest.mark.parametrize("page", ["/admin/users", "/admin/roles"])
def test_pages_are_not_cached_and_require_a_recent_password(app, security, page):
    root, _ = admin(app)
    assert root.get(page).headers["Cache-Control"] == "no-store"
    security.clock = lambda: time.time() + 15 * 60 + 1
    assert root.get(page).location == f"/auth/reauthenticate?next={page}"


def test_a_form_sent_too_late_changes_nothing_and_leads_back_to_its_page(app, security):
    root, name = admin(app)
    path = f"/admin/users/{security.find(name).id}"
    token = root.token(path)
    security.clock = lambda: time.time() + 16 * 60
    answer = root.post(f"{path}/grant", {"role": "moderator", "csrf_token": token})
    assert (answer.status_code, answer.location) == (302, f"/auth/reauthenticate?next={path}")
    assert list(security.find(name).roles) == ["admin"]


def test_the_permission_is_checked_before_the_password(app, security):
    ada, _ = member(app)
    security.clock = lambda: time.time() + 16 * 60
    assert ada.get("/admin/users").status_code == 403


def test_an_admin_who_grants_themselves_a_role_gets_another_session_id(app, security):
    root, name = admin(app)
    path = f"/admin/users/{security.find(name).id}"
    before = root.session_id
    assert root.send(f"{path}/grant", page=path, role="moderator").status_code == 303
    assert root.session_id != before and root.who() == name


def test_an_admin_ends_the_sessions_of_all_users(app):
    ada, _ = member(app)
    root, _ = admin(app)
    assert root.send("/admin/sessions/end", page="/admin/users").status_code == 303
    assert (ada.who(), root.who()) == (None, None)


def test_the_header_links_to_the_accounts_for_admins_only(app):
    root, _ = admin(app)
    ada, _ = member(app)
    assert 'href="/admin/users"' in root.get("/home").text
    assert 'href="/admin/users"' not in ada.get("/home").text
