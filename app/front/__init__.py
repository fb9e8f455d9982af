"""The front page: what this is, and where to go."""

from __future__ import annotations

from flask import Blueprint, render_template

blueprint = Blueprint("front", __name__, template_folder="templates")


@blueprint.get("/")
def index() -> str:
    return render_template("front/index.html")
