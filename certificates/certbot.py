"""One call of certbot, and the files that nginx gets from it."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from pathlib import Path

from certificates.settings import Settings

# A server that does not answer must not stop the service for good. Longer than certbot's own waits.
TIMEOUT_S = 600
# certbot's name for the certificate.
_NAME = "stack"


class NotObtainedError(Exception):
    """There is no new certificate; the text is certbot's reason, in one line."""


def obtain(settings: Settings, *, force: bool = False) -> bool:
    """Let certbot renew the certificate if it is due, or with *force*; return whether nginx gets
    another one. Raises NotObtainedError.
    """
    command = [
        "certbot", "certonly", "--non-interactive", "--agree-tos", "--no-eff-email",
        f"--email={settings.mail}", f"--server={settings.server}",
        "--webroot", f"--webroot-path={settings.webroot}", "--preferred-challenges=http",
        f"--cert-name={_NAME}", *(f"--domain={name}" for name in settings.names),
        "--key-type=ecdsa", "--keep-until-expiring", "--renew-with-new-domains",
        f"--config-dir={settings.state}", f"--work-dir={settings.state}/work",
        f"--logs-dir={settings.state}/logs", "--max-log-backups=20",
        *(["--force-renewal"] if force else []),
    ]  # fmt: skip
    # Without PYTHONPATH: certbot is a Python program too.
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    if settings.ca_file:
        environ["REQUESTS_CA_BUNDLE"] = str(settings.ca_file)
    try:
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise NotObtainedError("certbot is not installed (apt-get install certbot)") from error
    except subprocess.TimeoutExpired as error:
        raise NotObtainedError(f"certbot did not end within {TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise NotObtainedError(_reason(done.stdout) or f"certbot ended with {done.returncode}")
    live = settings.state / "live" / _NAME
    try:
        # The key first: nginx looks at a pair again when the second file changes.
        replaced = _install(live / "privkey.pem", settings.key)
        return _install(live / "fullchain.pem", settings.certificate) or replaced
    except OSError as error:
        raise NotObtainedError(f"the certificate cannot be installed: {error}") from error


def not_after(certificate: Path) -> float | None:
    """When *certificate* expires, in seconds since the epoch; None if there is none to read."""
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", certificate],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.match(r"notAfter=(.+)", done.stdout)
    return ssl.cert_time_to_seconds(found[1]) if found else None


def _install(source: Path, target: Path) -> bool:
    """Let *target* have the content of *source* and mode 0600; return whether it had another."""
    content = source.read_bytes()
    if target.exists() and target.read_bytes() == content:
        return False
    fresh = target.with_name(f"{target.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(target)
    return True


def _reason(output: str) -> str:
    """The lines of certbot's output that say what went wrong, as one."""
    noise = r"Saving debug log|Ask for help|See the logfile|Some challenges have failed|- - -|$"
    told = (line.strip() for line in output.splitlines())
    return " ".join(line for line in told if not re.match(noise, line))[-600:]
