"""Every request that changes something needs the token of this session (CSRF)."""

from tests.people.in_process import PASSWORD, Browser, admin, member


def changing(app):
    for rule in app.url_map.iter_rules():
        if rule.methods & {"POST", "PUT", "PATCH", "DELETE"}:
            path = rule.rule
            for name in rule.arguments:
                kind = "0" * (16 if name == "post_id" else 32)
                path = path.replace(f"<{name}>", kind).replace(f"<string(length=16):{name}>", kind)
            yield path


def test_without_one_of_this_session_nothing_happens(app):
    root, name = admin(app)
    foreign = Browser(app).token("/auth/login")
    paths = list(changing(app))
    assert len(paths) >= 7
    for path in paths:
        for fields in ({}, {"csrf_token": ""}, {"csrf_token": "x.y.z"}, {"csrf_token": foreign}):
            answer = root.post(path, fields)
            assert answer.status_code == 400, (path, fields)
    assert root.who() == name


def test_a_header_will_do_for_programs(app):
    ada, _ = member(app)
    token = ada.token("/auth/sessions")
    answer = ada.post("/auth/logout", {}, **{"X-CSRFToken": token})
    assert answer.status_code == 303 and ada.who() is None


def test_a_token_of_before_the_login_is_of_no_use_after_it(app):
    _, name = member(app)
    other = Browser(app)
    token = other.token("/auth/login")
    other.post("/auth/login", {"name": name, "password": PASSWORD, "csrf_token": token})
    assert other.post("/auth/logout", {"csrf_token": token}).status_code == 400
