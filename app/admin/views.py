"""The pages of the blueprint `admin`.

They require the permission and a recently entered password. Admins cannot disable or delete
themselves or revoke their own roles, so that none locks themselves out by mistake. Two who do it to
each other at the same moment can: `flask user grant NAME admin` helps.
"""

from __future__ import annotations

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue

from app.navigation import add_link
from app.security import User, current_user, fresh_login_required, requires, security
from app.security.manager import UserGone

blueprint = Blueprint("admin", __name__, url_prefix="/admin", template_folder="templates")
add_link(blueprint, "Accounts", "admin.users", permission="users.manage")

PAGE_SIZE = 50
MAX_PAGE = 1_000_000


@blueprint.before_request
@requires("users.manage")
@fresh_login_required
def guard() -> None:
    """One check for all views, so that a new view cannot lack it."""


@blueprint.errorhandler(UserGone)
def user_gone(_error: UserGone) -> ResponseReturnValue:
    flash("This account has been deleted.", "error")
    return redirect(url_for(".users"), 303)


@blueprint.after_request
def keep_out_of_caches(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/")
def index() -> ResponseReturnValue:
    return redirect(url_for(".users"), 303)


@blueprint.get("/users")
def users() -> ResponseReturnValue:
    name = request.args.get("name", "")
    match = security.find(name) if name else None
    if match is not None:
        return redirect(url_for(".user", user_id=match.id), 303)
    page = request.args.get("page", 1, type=int)
    if not 1 <= page <= MAX_PAGE:
        abort(404)
    # One more than is shown, to know whether there is a next page.
    found = security.users.page((page - 1) * PAGE_SIZE, PAGE_SIZE + 1)
    return render_template(
        "admin/users.html",
        name=name,
        users=found[:PAGE_SIZE],
        page=page,
        more=len(found) > PAGE_SIZE,
    )


@blueprint.get("/users/<user_id>")
def user(user_id: str) -> ResponseReturnValue:
    found = _user(user_id)
    return render_template(
        "admin/user.html",
        user=found,
        roles=security.roles.values(),
        sessions=security.sessions.sessions_of(found.id),
    )


@blueprint.get("/roles")
def roles() -> ResponseReturnValue:
    return render_template("admin/roles.html", roles=security.roles.values())


@blueprint.post("/users/<user_id>/disable")
def disable(user_id: str) -> ResponseReturnValue:
    found = _other_user(user_id)
    security.set_active(found, False)
    return _done(found, f"{found.name} has been disabled. All their sessions have ended.")


@blueprint.post("/users/<user_id>/enable")
def enable(user_id: str) -> ResponseReturnValue:
    found = _user(user_id)
    security.set_active(found, True)
    return _done(found, f"{found.name} can log in again.")


@blueprint.post("/users/<user_id>/delete")
def delete(user_id: str) -> ResponseReturnValue:
    found = _other_user(user_id)
    if request.form.get("name") != found.name:
        flash("The account was not deleted: the name did not match.", "error")
        return redirect(url_for(".user", user_id=found.id), 303)
    security.delete(found)
    flash(f"The account {found.name} has been deleted.", "success")
    return redirect(url_for(".users"), 303)


@blueprint.post("/users/<user_id>/grant")
def grant(user_id: str) -> ResponseReturnValue:
    found, role = _user(user_id), _role()
    security.change_roles(found, grant=[role])
    return _done(found, f"{found.name} now has the role {role}.")


@blueprint.post("/users/<user_id>/revoke")
def revoke(user_id: str) -> ResponseReturnValue:
    found, role = _other_user(user_id), _role()
    security.change_roles(found, revoke=[role])
    return _done(found, f"{found.name} no longer has the role {role}.")


@blueprint.post("/users/<user_id>/sessions/end")
def end_sessions(user_id: str) -> ResponseReturnValue:
    found = _user(user_id)
    security.end_sessions(found)
    return _done(found, f"All sessions of {found.name} have ended.")


@blueprint.post("/users/<user_id>/sessions/<handle>/end")
def end_session(user_id: str, handle: str) -> ResponseReturnValue:
    found = _user(user_id)
    security.sessions.revoke(found.id, handle)
    return _done(found, "The session has ended.")


@blueprint.post("/sessions/end")
def end_all_sessions() -> ResponseReturnValue:
    """End the sessions of all users, including the admin's own."""
    security.end_all_sessions()
    return redirect(url_for("auth.login", next=url_for(".users")), 303)


def _user(user_id: str) -> User:
    found = security.users.get(user_id)
    if found is None:
        abort(404)
    return found


def _other_user(user_id: str) -> User:
    found = _user(user_id)
    if found == current_user:
        abort(403, "You cannot do this to your own account. Ask another admin.")
    return found


def _role() -> str:
    role = request.form.get("role", "")
    if role not in security.roles:
        abort(400, "This role does not exist.")
    return role


def _done(found: User, message: str) -> ResponseReturnValue:
    flash(message, "success")
    return redirect(url_for(".user", user_id=found.id), 303)
