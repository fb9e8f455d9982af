"""rediss:// works with a CA file and with client certificates, and a wrong one is a 503 with its
reason in the log. Wrong paths are errors at start.
"""

import ssl
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis as redis_py
from flask import Flask

from app import create_app
from app.redis_client import StoreUnavailable, connect
from app.settings import SettingsError
from stack import ports
from tests.sessions.pages import logged_in, make_app
from tests.waiting import wait_until


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def authority(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
            "-out", f"{name}.pem")  # fmt: skip


def certificate(folder, name, signer):
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{signer}.pem", "-CAkey",
            f"{signer}.key", "-CAcreateserial", "-days", "2", "-extfile", "names",
            "-out", f"{name}.pem")  # fmt: skip


@pytest.fixture(scope="module")
def keys():
    with TemporaryDirectory(prefix="tls-") as name:
        folder = Path(name)
        for each in ("ca", "other-ca"):
            authority(folder, each)
        for each in ("server", "client"):
            certificate(folder, each, "ca")
        yield folder


@pytest.fixture(scope="module", params=["any client", "client certificates"])
def tls_redis(request, keys):
    """A Redis that speaks TLS only, on a TCP port; returns the port and what a client needs."""
    port = ports.free()
    strict = request.param == "client certificates"
    options = {
        "--port": "0",
        "--tls-port": str(port),
        "--bind": "127.0.0.1",
        "--tls-cert-file": "server.pem",
        "--tls-key-file": "server.key",
        "--tls-ca-cert-file": "ca.pem",
        "--tls-auth-clients": "yes" if strict else "no",
        "--requirepass": "a password",
        "--save": "",
    }
    command = ["redis-server", *(part for pair in options.items() for part in pair)]
    process = subprocess.Popen(command, cwd=keys, stdout=subprocess.DEVNULL)
    files = {"ssl_ca_certs": str(keys / "ca.pem")}
    if strict:
        files |= {"ssl_certfile": str(keys / "client.pem"), "ssl_keyfile": str(keys / "client.key")}

    def answers():
        assert process.poll() is None
        try:
            return redis_py.Redis(port=port, password="a password", ssl=True, **files).ping()
        except redis_py.RedisError:
            return False

    try:
        wait_until(answers, 20)
        yield port, files
    finally:
        process.kill()
        process.wait()


# Seconds. A TLS handshake can take long on a busy machine.
PATIENT = 5


def url(port, files, host="localhost"):
    query = "&".join(f"{name}={value}" for name, value in files.items())
    return f"rediss://:wrong@{host}:{port}/1?{query}"


def test_sessions_over_tls(tls_redis):
    port, files = tls_redis
    client = connect(url(port, files), "a password", budget=PATIENT)
    browser = logged_in(make_app(client))
    browser.post("/set/big", json="x" * 50_000)  # more than one TLS record
    assert browser.get("/get/big").json == "x" * 50_000
    assert client.pipeline([("SET", "post:1", "a"), ("GET", "post:1")]) == [b"OK", b"a"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_name_is_checked(tls_redis, host):
    port, files = tls_redis
    assert connect(url(port, files, host), "a password", budget=PATIENT).execute("PING") == b"PONG"


def fails_in_a_request(client, caplog):
    app = Flask("app")
    app.add_url_rule("/", view_func=lambda: client.execute("PING"))
    answer = app.test_client().get("/")
    assert answer.status_code == 503
    assert "Traceback" not in answer.text
    (line,) = [record.getMessage() for record in caplog.records]
    return line


def test_a_wrong_authority_is_a_503_and_named_in_the_log(tls_redis, keys, caplog):
    port, files = tls_redis
    wrong = url(port, files | {"ssl_ca_certs": str(keys / "other-ca.pem")})
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        connect(wrong, "a password", budget=PATIENT).execute("PING")
    line = fails_in_a_request(connect(wrong, "a password", budget=PATIENT), caplog)
    assert f"localhost:{port}" in line
    assert "certificate verify failed" in line


def test_a_missing_client_certificate_is_a_503(tls_redis, caplog):
    port, files = tls_redis
    if "ssl_certfile" not in files:
        assert connect(url(port, files), "a password", budget=PATIENT).execute("PING") == b"PONG"
        return
    files = {"ssl_ca_certs": files["ssl_ca_certs"]}
    client = connect(url(port, files), "a password", budget=PATIENT)
    assert "certificate" in fails_in_a_request(client, caplog)


def test_an_unchecked_certificate_only_on_request(tls_redis, keys):
    port, files = tls_redis
    files = files | {"ssl_ca_certs": str(keys / "other-ca.pem"), "ssl_cert_reqs": "none"}
    assert connect(url(port, files), "a password", budget=PATIENT).execute("PING") == b"PONG"


def test_a_connection_makes_no_tls_context_of_its_own(tls_redis, monkeypatch):
    """Making one takes 39 ms of CPU."""
    port, files = tls_redis
    client = connect(url(port, files), "a password", budget=PATIENT)
    monkeypatch.delattr(ssl, "create_default_context")
    for _ in range(2):
        assert client.execute("PING") == b"PONG"
        client.close()


def test_plain_text_to_a_tls_port_is_unavailable(tls_redis):
    port, _ = tls_redis
    with pytest.raises(StoreUnavailable):
        connect(f"redis://localhost:{port}", "a password").execute("PING")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"ssl_ca_certs": "/nowhere/ca.pem"}, "ssl_ca_certs='/nowhere/ca.pem': No such file"),
        ({"ssl_certfile": "/nowhere/c.pem"}, "ssl_certfile='/nowhere/c.pem': No such file"),
        ({"ssl_ca_certs": "{keys}/server.key"}, "ssl_ca_certs must hold certificates"),
        ({"ssl_keyfile": "{keys}/client.key"}, "ssl_keyfile needs ssl_certfile"),
        (
            {"ssl_certfile": "{keys}/client.pem", "ssl_keyfile": "{keys}/server.key"},
            "a certificate and its key",
        ),
        ({"ssl_cert_reqs": "perhaps"}, "perhaps"),
    ],
)
def test_wrong_files_are_errors_at_start(keys, tmp_path, files, words):
    files = {name: value.format(keys=keys) for name, value in files.items()}
    with pytest.raises(ValueError, match=words) as caught:
        connect(url(1, files))
    assert "wrong@" not in str(caught.value)
    (tmp_path / "key").write_text("k" * 64)
    environ = {"SECRET_KEY_FILE": str(tmp_path / "key"), "REDIS_URL": url(1, files)}
    with pytest.raises(SettingsError, match=f"REDIS_URL: .*{words}"):
        create_app(environ)
