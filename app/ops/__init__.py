"""Endpoints for orchestrators and operators: liveness, readiness and the version that runs.

None of them reads the session. /livez does not query Redis: restarting a worker does not bring a
failed store back.
"""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, current_app, jsonify
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from app.ops.readiness import MAX_AGE_SECONDS, Readiness

VERSION = "0.1.0"  # of pyproject.toml; a test compares them
LOADED = datetime.now(UTC).isoformat(timespec="seconds")

blueprint = Blueprint("ops", __name__)


@blueprint.record_once
def prepare(state: BlueprintSetupState) -> None:
    redis = state.app.extensions["redis"]
    state.app.extensions["readiness"] = Readiness(lambda: redis.execute("PING"))


@blueprint.after_request
def keep_out_of_caches(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/livez")
def livez() -> Response:
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    ready: bool = current_app.extensions["readiness"].check()
    body = jsonify(ready=ready, redis="up" if ready else "down")
    return body if ready else (body, 503, {"Retry-After": str(MAX_AGE_SECONDS)})


@blueprint.get("/version")
def version() -> Response:
    """`loaded` shows whether the worker that answers runs the code of the last reload."""
    return jsonify(name=current_app.config["STACK_NAME"], version=VERSION, loaded=LOADED)
