"""Members: they register, log in (for a month if they like) and log out. Plain Flask-Login."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_login import (
    LoginManager,
    current_user,
    login_fresh,
    login_required,
    login_user,
    logout_user,
)
from flask_wtf import FlaskForm
from werkzeug.security import check_password_hash, generate_password_hash
from werkzeug.wrappers import Response
from wtforms import BooleanField, PasswordField, StringField, SubmitField
from wtforms.validators import InputRequired, Length

from bookshop.models import Member, db

members = Blueprint("members", __name__)
login_manager = LoginManager()
login_manager.login_view = "members.login"


@login_manager.user_loader
def load(number: str) -> Member | None:
    return db.session.get(Member, int(number))


class LoginForm(FlaskForm):
    name = StringField("Name", validators=[InputRequired(), Length(max=60)])
    password = PasswordField("Password", validators=[InputRequired()])
    remember = BooleanField("Stay logged in")
    send = SubmitField("Send")


@members.route("/register", methods=["GET", "POST"])
def register() -> Response | str:
    form = LoginForm()
    if form.validate_on_submit():
        member = Member(
            name=form.name.data, password_hash=generate_password_hash(form.password.data)
        )
        db.session.add(member)
        db.session.commit()
        login_user(member)
        return redirect(url_for("members.me"))
    return render_template("form.html", title="Register", form=form)


@members.route("/login", methods=["GET", "POST"])
def login() -> Response | str:
    form = LoginForm()
    if form.validate_on_submit():
        member = db.session.scalar(db.select(Member).filter_by(name=form.name.data))
        if member and check_password_hash(member.password_hash, form.password.data):
            login_user(member, remember=form.remember.data)
            return redirect(url_for("members.me"))
        flash("Wrong name or password.")
    return render_template("form.html", title="Log in", form=form)


@members.get("/me")
@login_required
def me() -> dict[str, object]:
    return {"name": current_user.name, "fresh": login_fresh()}


@members.post("/logout")
@login_required
def logout() -> Response:
    logout_user()
    return redirect(url_for("catalogue.index"))
