"""``make certs``: a development authority of this copy, and a certificate by it.

A browser that trusts the authority shows no warning for this copy. The authority's key stays on
this machine, in ``run/<name>/authority/``.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from operate import certificates, secret_files
from operate.certificates import CERTIFICATE
from operate.one_at_a_time import one_at_a_time
from stack.checkout import CHECKOUT
from stack.choose import running
from stack.errors import StackError
from stack.progress import Progress
from stack.runtime import Runtime

AUTHORITY_DAYS, DAYS = 3650, 397  # browsers accept no longer certificate
_SELF_SIGNED = "CN = self-signed"  # nginx/entrypoint


def certs(environ: Mapping[str, str]) -> int:
    """YES=1 also replaces a certificate of somebody else."""
    progress = Progress.to_terminal()
    runtime = running(environ, "make up STACK_TLS=on")
    if runtime.running_toggles()["STACK_TLS"] != "on":
        raise StackError("STACK_TLS is off", "make down up STACK_TLS=on")
    subject = f"{runtime.name} development authority"
    authority = CHECKOUT / "run" / runtime.name / "authority"
    with one_at_a_time(runtime), tempfile.TemporaryDirectory() as scratch:
        if environ.get("YES") != "1":
            _refuse_a_real_one(runtime, subject)
        _make_authority(authority, subject)
        certificate, key = _sign(authority, Path(scratch), runtime.running_toggles())
        certificates.replace(runtime, str(certificate), str(key), progress)
    file = authority / "certificate.pem"
    print(
        f"\nTrust {file} on machines that you develop with, and on no other:\n"
        "  curl      curl --cacert FILE\n"
        "  Debian    sudo cp FILE /usr/local/share/ca-certificates/NAME.crt; "
        "sudo update-ca-certificates\n"
        "  Chromium  Settings, Privacy and security, Security, Manage certificates, Authorities\n"
        "  Firefox   Settings, Privacy & Security, View Certificates, Authorities, Import"
    )
    return 0


def _refuse_a_real_one(runtime: Runtime, subject: str) -> None:
    issuer = _openssl(
        "x509", "-noout", "-issuer", stdin=secret_files.read(runtime, CERTIFICATE)
    ).strip()
    if subject not in issuer and _SELF_SIGNED not in issuer:
        raise StackError(
            f"nginx has a certificate that {issuer.removeprefix('issuer=')} signed",
            "make certs YES=1 replaces it",
        )


def _make_authority(folder: Path, subject: str) -> None:
    if (folder / "certificate.pem").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    _make_key(folder / "key.pem")
    _openssl(
        "req", "-x509", "-new", "-key", str(folder / "key.pem"), "-sha256",
        "-days", str(AUTHORITY_DAYS), "-subj", f"/CN={subject}",
        "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        "-out", str(folder / "certificate.pem"),
    )  # fmt: skip


def _sign(authority: Path, folder: Path, toggles: Mapping[str, str]) -> tuple[Path, Path]:
    """Return a certificate, with its authority's, and its key, both in *folder*."""
    certificate, key, request = (folder / name for name in ("new.pem", "new.key", "new.csr"))
    extensions = folder / "extensions"
    names = [
        f"DNS:{each}"
        for name in toggles["STACK_HOSTS"].split(",")
        if name
        for each in ([name[1:], f"*{name}"] if name.startswith(".") else [name])
    ]
    addresses = {"127.0.0.1", "::1", toggles["STACK_BIND"]} - {"0.0.0.0", "::"}  # noqa: S104
    names += ["DNS:localhost", *(f"IP:{address}" for address in sorted(addresses))]
    extensions.write_text(
        f"subjectAltName={','.join(dict.fromkeys(names))}\nbasicConstraints=CA:FALSE\n"
        "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n",
        encoding="ascii",
    )
    _make_key(key)
    subject = f"/CN={toggles['STACK_NAME']}"
    _openssl("req", "-new", "-key", str(key), "-subj", subject, "-out", str(request))
    _openssl(
        "x509", "-req", "-in", str(request), "-CA", str(authority / "certificate.pem"),
        "-CAkey", str(authority / "key.pem"), "-CAcreateserial", "-sha256", "-days", str(DAYS),
        "-extfile", str(extensions), "-out", str(certificate),
    )  # fmt: skip
    chain = (authority / "certificate.pem").read_bytes()
    certificate.write_bytes(certificate.read_bytes() + chain)
    return certificate, key


def _make_key(file: Path) -> None:
    file.touch(mode=0o600)
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(file))


def _openssl(*arguments: str, stdin: bytes = b"") -> str:
    try:
        done = subprocess.run(
            ["openssl", *arguments], input=stdin, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise StackError("openssl is missing", "apt-get install openssl") from error
    if done.returncode != 0:
        raise StackError(f"openssl {arguments[0]} failed", log=done.stderr.decode().strip())
    return done.stdout.decode()
