"""The public front page, and the page that users reach after they log in."""

from __future__ import annotations

from flask import Blueprint, render_template

from app.navigation import add_link
from app.security import login_required

blueprint = Blueprint("front", __name__, template_folder="templates")
add_link(blueprint, "Home", "front.home")


@blueprint.get("/")
def index() -> str:
    return render_template("front/index.html")


@blueprint.get("/home")
@login_required
def home() -> str:
    return render_template("front/home.html")
