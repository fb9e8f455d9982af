"""The pages for logging in and out and for managing one's own account and sessions.

The logic is in the SecurityManager (app/security).
"""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.auth.filters import browser, utc_time
from app.security import User, current_user, fresh_login_required, login_required, security
from app.security.forms import Form
from app.security.manager import TooManyTries, UserGone, current_session
from app.security.next_page import own_page
from app.security.passwords import WeakPassword
from app.security.users import NameTaken

blueprint = Blueprint("auth", __name__, url_prefix="/auth", template_folder="templates")
blueprint.add_app_template_filter(browser)
blueprint.add_app_template_filter(utc_time)

# The same for a wrong password, an unknown name and a disabled account, so that it reveals none.
WRONG_LOGIN = "The name or the password is wrong, or the account is disabled."
WRONG_PASSWORD = "The password is wrong."  # noqa: S105, a message


@blueprint.app_errorhandler(UserGone)
def user_gone(_error: UserGone) -> ResponseReturnValue:
    """The account was deleted or changed by somebody else while its user was changing it."""
    return redirect(url_for(".login"), 303)


@blueprint.after_request
def keep_out_of_caches(response: Response) -> Response:
    """The forms contain a token of this session, for anonymous visitors too."""
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    form = security.login_form()
    if not form.validate_on_submit():
        return _page("login", form)
    try:
        user = security.authenticate(form.name.data, form.password.data, _address())
    except TooManyTries as error:
        return _too_many_tries("login", form, error)
    if user is None:
        form.form_errors.append(WRONG_LOGIN)
        return _page("login", form, 401)
    security.log_in(user)
    return _redirect_to_next()


@blueprint.route("/register", methods=["GET", "POST"])
def register() -> ResponseReturnValue:
    form = security.registration_form()
    if not form.validate_on_submit():
        return _page("register", form)
    try:
        user = security.register(form.name.data, form.password.data, details=form.details())
    except NameTaken:
        form.name.errors.append("This name is already taken. Please choose another.")
        return _page("register", form)
    except WeakPassword as error:
        form.password.errors.append(str(error))
        return _page("register", form)
    security.recognise(user, _address())
    security.log_in(user)
    return _redirect_to_next()


@blueprint.post("/logout")
def logout() -> ResponseReturnValue:
    security.log_out()
    return redirect(url_for("front.index"), 303)


@blueprint.route("/reauthenticate", methods=["GET", "POST"])
@login_required
def reauthenticate() -> ResponseReturnValue:
    form = security.reauthentication_form()
    if not form.validate_on_submit():
        return _page("reauthenticate", form)
    try:
        correct = security.reauthenticate(_user(), form.password.data, _address())
    except TooManyTries as error:
        return _too_many_tries("reauthenticate", form, error)
    if not correct:
        form.password.errors.append(WRONG_PASSWORD)
        return _page("reauthenticate", form, 401)
    return _redirect_to_next()


@blueprint.route("/password", methods=["GET", "POST"])
@fresh_login_required
def password() -> ResponseReturnValue:
    form = security.password_form()
    if not form.validate_on_submit():
        return _page("password", form)
    user = _user()
    try:
        if security.authenticate(user.name, form.current.data, _address()) != user:
            form.current.errors.append(WRONG_PASSWORD)
            return _page("password", form, 401)
        security.set_password(user, form.password.data)
    except TooManyTries as error:
        return _too_many_tries("password", form, error)
    except WeakPassword as error:
        form.password.errors.append(str(error))
        return _page("password", form)
    flash("Your password has been changed. All your other sessions have ended.", "success")
    return redirect(url_for(".sessions"), 303)


@blueprint.get("/sessions")
@fresh_login_required
def sessions() -> ResponseReturnValue:
    found = security.sessions.sessions_of(current_user.id)
    return render_template("auth/sessions.html", sessions=found)


@blueprint.post("/sessions/<handle>/end")
@fresh_login_required
def end_session(handle: str) -> ResponseReturnValue:
    if handle == current_session().handle:
        return logout()
    # A session that no longer exists is not an error.
    security.sessions.revoke(current_user.id, handle)
    flash("The session has ended.", "success")
    return redirect(url_for(".sessions"), 303)


@blueprint.post("/sessions/end-others")
@fresh_login_required
def end_other_sessions() -> ResponseReturnValue:
    security.sessions.revoke_user(current_user.id, except_session=current_session())
    flash("All your other sessions have ended.", "success")
    return redirect(url_for(".sessions"), 303)


@blueprint.get("/whoami")
@login_required
def whoami() -> ResponseReturnValue:
    return jsonify(id=current_user.id, name=current_user.name)


def _page(name: str, form: Form, status: int | None = None) -> Response:
    """The page of *form*. Default for *status*: 400 if the form has errors, else 200."""
    status = status or (400 if form.errors else 200)
    return Response(render_template(f"auth/{name}.html", form=form), status)


def _too_many_tries(name: str, form: Form, error: TooManyTries) -> Response:
    seconds = "1 second" if error.retry_after == 1 else f"{error.retry_after} seconds"
    form.form_errors.append(f"Too many failed attempts. Please try again in {seconds}.")
    response = _page(name, form, 429)
    response.headers["Retry-After"] = str(error.retry_after)
    return response


def _redirect_to_next() -> ResponseReturnValue:
    """To the page that required the login (`?next=`), or to the home page."""
    return redirect(own_page(request.args.get("next")) or url_for(security.home_endpoint), 303)


def _user() -> User:
    return cast(User, current_user._get_current_object())


def _address() -> str:
    """The client's address. nginx sets it; clients cannot."""
    return request.remote_addr or ""
