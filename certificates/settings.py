"""The service's environment: certificates/compose.yml and stack/local/wiring.py set it.

Besides the toggles:

=================== ==============================================================================
TLS_CERT_FILE       where nginx reads the certificate with its chain
TLS_KEY_FILE        where nginx reads its key
ACME_STATE          directory of certbot: accounts, earlier certificates, logs
ACME_WEBROOT        directory that nginx serves answers to challenges from
ACME_NGINX          address and port at which nginx listens for http
ACME_METRICS        address and port of the metrics
ACME_CA_FILE        certificates that certbot trusts, for a server of your own
=================== ==============================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import toggles

SERVERS = {
    "production": "https://acme-v02.api.letsencrypt.org/directory",
    "staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}


@dataclass(frozen=True)
class Settings:
    mail: str
    names: tuple[str, ...]
    server: str
    certificate: Path
    key: Path
    state: Path
    webroot: Path
    nginx: tuple[str, int]
    metrics: tuple[str, int]
    ca_file: Path | None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Raises ToggleError for a value that is not allowed, KeyError for one that is missing."""
        values = toggles.read({k: v for k, v in environ.items() if k in toggles.TOGGLES})
        if not values["STACK_ACME"]:
            raise toggles.ToggleError("STACK_ACME is empty: must be a mail address")
        server = values["STACK_ACME_SERVER"]
        state = Path(environ["ACME_STATE"])
        ca_file = Path(environ.get("ACME_CA_FILE") or "/dev/null")
        return cls(
            mail=values["STACK_ACME"],
            names=tuple(values["STACK_HOSTS"].split(",")),
            server=SERVERS.get(server, server),
            certificate=Path(environ["TLS_CERT_FILE"]),
            key=Path(environ["TLS_KEY_FILE"]),
            # One directory a server: otherwise certbot keeps a staging certificate in production.
            state=state / (server if server in SERVERS else _short(server)),
            webroot=Path(environ["ACME_WEBROOT"]),
            nginx=_address(environ["ACME_NGINX"]),
            metrics=_address(environ["ACME_METRICS"]),
            ca_file=ca_file if ca_file.exists() and ca_file.stat().st_size else None,
        )


def _short(server: str) -> str:
    return hashlib.sha256(server.encode()).hexdigest()[:12]


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
