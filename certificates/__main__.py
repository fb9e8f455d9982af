"""``python -m certificates``: the loop. A failure is logged, counted and tried again."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time

from certificates import certbot, metrics
from certificates.settings import Settings
from toggles import ToggleError

# certbot renews 30 days before the end. Let's Encrypt allows five failed validations per hour.
CHECK_EVERY_S = 12 * 3600
RETRY_AFTER_S = 900
NGINX_STARTS_WITHIN_S = 120.0


def main() -> int:
    try:
        settings = Settings.read(os.environ)
        os.umask(0o077)
        settings.state.mkdir(parents=True, exist_ok=True)
        _make_webroot(settings)
    except (ToggleError, OSError) as error:
        for line in str(error).splitlines():
            log(line)
        return 2
    wake = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: wake.set())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    figures = metrics.Figures(settings.certificate)
    metrics.serve(figures, settings.metrics)
    while True:
        forced = wake.is_set()
        wake.clear()
        wake.wait(CHECK_EVERY_S if attempt(settings, figures, forced=forced) else RETRY_AFTER_S)


def attempt(settings: Settings, figures: metrics.Figures, *, forced: bool) -> bool:
    """Return whether nginx has a certificate that is not due for renewal."""
    try:
        _wait_for_nginx(settings)
        renewed = certbot.obtain(settings, force=forced)
    except certbot.NotObtainedError as error:
        figures.failed += 1
        figures.failing = True
        log(f"no new certificate: {error}")
        log(f"the old one stays, {_valid(settings)}; next try in {RETRY_AFTER_S // 60} min")
        return False
    figures.renewed += renewed
    figures.failing = False
    what = "nginx gets a new certificate" if renewed else "the certificate is not due"
    log(f"{what} for {', '.join(settings.names)}, {_valid(settings)}")
    return True


def _make_webroot(settings: Settings) -> None:
    # certbot creates the folders for others to read, but only below a mask that lets it.
    folder = settings.webroot / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True, exist_ok=True)


def _wait_for_nginx(settings: Settings) -> None:
    """Without nginx the server would count a failure."""
    deadline = time.monotonic() + NGINX_STARTS_WITHIN_S
    while True:
        try:
            socket.create_connection(settings.nginx, timeout=5).close()
        except OSError as error:
            if time.monotonic() > deadline:
                where = f"{settings.nginx[0]}:{settings.nginx[1]}"
                fault = f"nginx does not listen at {where} ({error})"
                raise certbot.NotObtainedError(fault) from error
            time.sleep(1)
        else:
            return


def _valid(settings: Settings) -> str:
    end = certbot.not_after(settings.certificate)
    if end is None:
        return "which cannot be read"
    days = (end - time.time()) / 86400
    return f"valid until {time.strftime('%Y-%m-%d', time.gmtime(end))} ({days:.0f} days)"


def log(line: str) -> None:
    print(f"certificates: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
