"""Admin pages: who may see them, and that what they say happens."""

import pytest

from tests.people.in_process import Browser, admin, member


@pytest.fixture
def security(app):
    return app.extensions["security"]


def admin_rules(app):
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("admin.")]


def concrete(rule):
    return rule.rule.replace("<user_id>", "0" * 32).replace("<handle>", "0" * 64)


def test_every_page_refuses_strangers_and_members(app):
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


def test_the_list_shows_everybody_and_finds_by_any_spelling(app):
    root, _ = admin(app)
    _, name = member(app)
    assert f">{name}<" in root.get("/admin/users").text
    found = root.get(f"/admin/users?name={name.upper()}")
    assert found.status_code == 303 and found.location.startswith("/admin/users/")
    assert f">{name}<" in root.get(found.location).text
    assert "no account of this name" in root.get("/admin/users?name=nobody-here").text
    assert root.get("/admin/users?page=0").status_code == 404
    assert "Nobody on this page" in root.get("/admin/users?page=999").text


def test_roles_page_names_permissions(app):
    root, _ = admin(app)
    page = root.get("/admin/roles").text
    assert "users.manage" in page and "posts.moderate" in page


def test_grant_and_take_away(app, security):
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


def test_an_admin_sees_and_ends_somebodys_sessions(app, security):
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
def test_an_admin_cannot_shut_themselves_out(app, security, action):
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
