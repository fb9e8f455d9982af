"""The Flask app. `create_app()` is its table of contents: read on from whatever it names.

What a request meets before it gets here is in nginx/ and uwsgi/. nginx decides the client's
address, the scheme and the host, and sets them as REMOTE_ADDR, wsgi.url_scheme and HTTP_HOST; the
app believes those and no forwarding header, which is why there is no ProxyFix here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from flask import Flask
from flask_wtf.csrf import CSRFProtect

from app import admin, auth, errors, front, logs, ops, posts, static_files, visitor, workload
from app.json_provider import BoundedJSONProvider
from app.security import SecurityManager
from app.sessions import connect
from app.settings import Settings


def create_app(
    environ: Mapping[str, str] | None = None,
    *,
    security_manager_class: type[SecurityManager] = SecurityManager,
) -> Flask:
    """Build the app from *environ* (default: the process's own).

    *security_manager_class* is the place to bring users, passwords, roles or sessions of your own:
    a subclass with other class attributes. Raises SettingsError, which names the variable at fault.
    """
    settings = Settings.from_environ(os.environ if environ is None else environ)

    app = Flask(__name__, static_folder=None)
    app.config.from_mapping(settings.flask_config())
    app.json = BoundedJSONProvider(app)
    logs.configure(readable=app.debug)
    static_files.init_app(app)
    errors.init_app(app)
    visitor.init_app(app)
    CSRFProtect(app)

    redis = connect(settings.redis_url, settings.redis_password)
    app.extensions["redis"] = redis
    security_manager_class(app, settings, redis)

    app.register_blueprint(front.blueprint)
    app.register_blueprint(auth.blueprint)
    app.register_blueprint(admin.blueprint)
    app.register_blueprint(posts.blueprint)
    app.register_blueprint(ops.create_blueprint(settings, redis))
    if settings.workload:
        app.register_blueprint(workload.blueprint)
    return app
