"""The Flask app. `create_app()` is its table of contents.

nginx (nginx/) determines the client's address, the scheme and the host and passes them through
uWSGI (uwsgi/) as REMOTE_ADDR, wsgi.url_scheme and HTTP_HOST. The app reads no forwarding header,
so it needs no ProxyFix.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from flask import Flask
from flask_wtf.csrf import CSRFProtect
from werkzeug.utils import import_string

from app import errors, logs, static_files, visitor, workload
from app.redis_client import Client, RedisClient, connect
from app.security import SecurityManager
from app.security.cli import user_commands
from app.settings import Settings, SettingsError

# Each is a package with a `blueprint`. To remove one, delete its folder and its line.
BLUEPRINTS = (
    "app.front",
    "app.auth",
    "app.posts",
    "app.admin",
    "app.ops",
)


def create_app(
    environ: Mapping[str, str] | None = None,
    *,
    security_manager_class: type[SecurityManager] = SecurityManager,
    redis: Client | None = None,
) -> Flask:
    """Build the app from *environ* (default: the process's environment).

    *security_manager_class* is a subclass that replaces users, passwords, roles or sessions by
    class attributes. *redis* replaces the client for REDIS_URL. Raises SettingsError, which names
    the variable at fault.
    """
    settings = Settings.from_environ(os.environ if environ is None else environ)

    app = Flask(__name__, static_folder=None)
    app.config.from_mapping(settings.flask_config())
    logs.configure(readable=app.debug)
    static_files.init_app(app)
    errors.init_app(app)
    visitor.init_app(app)
    CSRFProtect(app)

    if redis is None:
        try:
            redis = connect(settings.redis_url, settings.redis_password)
        except ValueError as error:
            raise SettingsError(f"REDIS_URL: {error}") from None
    app.extensions["redis"] = redis
    if settings.users_url:
        try:
            kept = import_string("app.sql_users:keeping_users_in")
            security_manager_class = kept(
                security_manager_class, settings.users_url, settings.threads
            )
        except ImportError:
            raise SettingsError(
                "STACK_USERS_URL needs app/sql_users/ and its packages: "
                "docs/day-two.md has the lines for project/requirements.txt"
            ) from None
        except ValueError as error:
            raise SettingsError(f"STACK_USERS_URL {error}") from None
    security_manager_class(app, settings, redis)
    app.cli.add_command(user_commands)
    if isinstance(redis, RedisClient):
        # Creating the demo account opened a connection, which forked workers must not share.
        redis.close()

    for package in BLUEPRINTS:
        app.register_blueprint(import_string(f"{package}:blueprint"))
    if settings.workload:
        app.register_blueprint(workload.blueprint)
    if settings.inside != "off":
        import_string("app.inside:init_app")(app, settings.inside)
    return app
