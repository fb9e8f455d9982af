"""What orchestrators and operators ask: is it alive, is it ready, which release is it.

None of these looks at the session. /livez does not look at Redis either: restarting a worker
because its store is away helps nobody.
"""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, jsonify

from app.ops.readiness import Readiness
from app.release import VERSION
from app.sessions import Client
from app.settings import Settings

RETRY_AFTER_SECONDS = "1"  # the answer is worked out anew each second


def create_blueprint(settings: Settings, redis: Client) -> Blueprint:
    blueprint = Blueprint("ops", __name__)
    readiness = Readiness(lambda: redis.execute("PING"))
    loaded = datetime.now(UTC).isoformat(timespec="seconds")

    @blueprint.get("/livez")
    def livez() -> Response:
        return Response("ok\n", mimetype="text/plain", headers={"Cache-Control": "no-store"})

    @blueprint.get("/readyz")
    def readyz() -> Response:
        ready = readiness.check()
        response = jsonify(ready=ready, redis="answers" if ready else "away")
        response.headers["Cache-Control"] = "no-store"
        if not ready:
            response.status_code = 503
            response.headers["Retry-After"] = RETRY_AFTER_SECONDS
        return response

    @blueprint.get("/version")
    def version() -> Response:
        """`loaded` tells whether a reload has reached the worker that answers."""
        response = jsonify(name=settings.name, version=VERSION, loaded=loaded)
        response.headers["Cache-Control"] = "no-store"
        return response

    return blueprint
