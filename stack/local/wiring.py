"""The environment of the local services: listening addresses and paths.

docker-compose.yml sets the same variables, so an entrypoint works the same in both runtimes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from stack import project
from stack.address import bracketed
from stack.programs import SEARCH_PATH

_NOT_INHERITED = re.compile(
    # STACK_*: replaced by checked values. UWSGI_*: uWSGI reads each as an option, including those
    # meant for another program. Our entrypoints read the next three. MAKE*: belong to the make
    # that called this.
    r"(STACK|UWSGI|NGINX)_.*|REDIS_(PASSWORD_MODE|MAXMEMORY)|MAKE.*|MFLAGS|RUNTIME|PYTHONHOME"
)


def environment(
    run: Path,
    checkout: Path,
    binaries: Path,
    *,
    toggles: Mapping[str, str],
    ports: Mapping[str, int],
    settings: Mapping[str, str],
) -> dict[str, str]:
    """Return the environment of redis, app and nginx.

    *ports* are the internal ones: ``app`` (uwsgi protocol), ``metrics`` and ``status`` (nginx's
    counters). The other variables of this process are inherited: the app may need its own.
    """
    inherited = {k: v for k, v in os.environ.items() if not _NOT_INHERITED.fullmatch(k)}
    bind = bracketed(toggles["STACK_BIND"])
    # The user's own directories first: their modules may have the names of ours.
    own = os.fspath(checkout / project.FOLDER)
    search = [own, os.environ.get("PYTHONPATH", ""), os.fspath(checkout)]
    return {
        **inherited,
        **toggles,
        "PATH": os.pathsep.join([os.fspath(binaries), SEARCH_PATH]),
        "PYTHONPATH": os.pathsep.join(filter(None, search)),
        "PYTHONUNBUFFERED": "1",
        # nginx
        "NGINX_LISTEN": f"{bind}:{toggles['STACK_PORT']}",
        "NGINX_LISTEN_TLS": f"{bind}:{toggles['STACK_TLS_PORT']}",
        "NGINX_STATUS_LISTEN": f"127.0.0.1:{ports['status']}",
        "NGINX_RUN": f"{run}/nginx",
        "NGINX_STATIC": f"{run}/static",
        # nginx requires one and never queries it: APP_HOST is an address.
        "NGINX_RESOLVER": "127.0.0.1",
        "TLS_CERT_FILE": settings.get("TLS_CERT_FILE") or f"{run}/secrets/tls-certificate.pem",
        "TLS_KEY_FILE": settings.get("TLS_KEY_FILE") or f"{run}/secrets/tls-key.pem",
        **({} if not toggles["STACK_ACME"] else _acme(run, bind, toggles, ports)),
        "APP_HOST": "127.0.0.1",
        "APP_PORT": str(ports["app"]),
        "APP_SOCKET": f"{run}/app.sock",
        # uWSGI and the app
        "APP_LISTEN": f"127.0.0.1:{ports['app']}",
        "METRICS_LISTEN": f"127.0.0.1:{ports['metrics']}",
        "APP_RUN": f"{run}/uwsgi",
        "APP_ENVIRONMENT": f"{run}/environment.json",
        "DATA_DIR": f"{run}/app-data",
        "SECRET_KEY_FILE": f"{run}/secrets/secret-key",
        "REDIS_URL": f"unix://app@{run}/redis.sock?db=0",
        # Redis
        "REDIS_PASSWORD_FILE": f"{run}/secrets/redis-password",
        "REDIS_LISTEN": f"{run}/redis.sock",
        "REDIS_RUN": f"{run}/redis",
        "REDIS_DATA": f"{run}/data",
        **{k: settings[k] for k in ("REDIS_MAXMEMORY", "ACME_CA_FILE") if k in settings},
    }


def _acme(
    run: Path, bind: str, toggles: Mapping[str, str], ports: Mapping[str, int]
) -> dict[str, str]:
    return {
        "ACME_WEBROOT": f"{run}/acme/webroot",
        "ACME_STATE": f"{run}/acme",
        "ACME_NGINX": f"{bind}:{toggles['STACK_PORT']}",
        "ACME_METRICS": f"127.0.0.1:{ports['certificates']}",
    }
