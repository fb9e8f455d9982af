"""The public front page, and the page that users reach after they log in."""

from __future__ import annotations

from flask import Blueprint, render_template

from app.navigation import add_link
from app.security import login_required, security
from toggles.demo import DEMO_NAME, DEMO_PASSWORD

blueprint = Blueprint("front", __name__, template_folder="templates")
add_link(blueprint, "Home", "front.home")


@blueprint.get("/")
def index() -> str:
    demo = (DEMO_NAME, DEMO_PASSWORD) if security.settings.demo else None
    return render_template("front/index.html", demo=demo)


@blueprint.get("/home")
@login_required
def home() -> str:
    return render_template("front/home.html")
