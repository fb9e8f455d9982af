"""No hostile request causes a 5xx, kills a worker or stops the service.

Each request is sent as raw bytes and has the allowed classes of its status beside it; 0 is a
connection that was closed without a response.
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.servers.nginx import Nginx, ask, nginx, request, stack_behind_nginx
from tests.servers.uwsgi import Uwsgi, echo

OK, REFUSED = {2}, {4}
EITHER = {2, 4}


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def up(*headers: str) -> bytes:
    return request("GET", "/up", *headers)


def post(path: str, *headers: str, body: str = "") -> bytes:
    return head(f"POST {path} HTTP/1.1", "Host: localhost", *headers) + body.encode("latin-1")


def chunked(body: str, *headers: str) -> bytes:
    return post("/read", "Transfer-Encoding: chunked", *headers, body=body)


CORPUS: dict[str, tuple[bytes, set[int]]] = {
    # The request line
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", REFUSED),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED),
    "uwsgi packet": (b"\x00\x1a\x00\x00\x0e\x00REQUEST_METHOD\x03\x00GET\r\n\r\n", REFUSED),
    "random bytes": (bytes(range(256)) + b"\r\n\r\n", REFUSED),
    "HTTP/0.9": (b"GET /up\r\n", {0}),
    "HTTP/0.9, absolute": (b"GET http://localhost/up\r\n", {0}),
    "HTTP/0.9, health": (b"GET /nginx-health\r\n", {0}),
    "HTTP/1.0 without a host": (b"GET /up HTTP/1.0\r\n\r\n", REFUSED),
    "HTTP/1.1 without a host": (b"GET /up HTTP/1.1\r\n\r\n", REFUSED),
    "HTTP/1.2": (head("GET /up HTTP/1.2", "Host: localhost"), OK),
    "HTTP/9.9": (head("GET /up HTTP/9.9", "Host: localhost"), REFUSED),
    "HTTP/x.y": (head("GET /up HTTP/x.y", "Host: localhost"), REFUSED),
    "no path": (head("GET  HTTP/1.1", "Host: localhost"), REFUSED),
    "a space in the path": (head("GET /a b HTTP/1.1", "Host: localhost"), REFUSED),
    "path without a slash": (head("GET up HTTP/1.1", "Host: localhost"), REFUSED),
    "asterisk": (head("OPTIONS * HTTP/1.1", "Host: localhost"), EITHER),
    "lower-case method": (head("get /up HTTP/1.1", "Host: localhost"), REFUSED),
    "unknown method": (head("BREW /up HTTP/1.1", "Host: localhost"), EITHER),
    "endless method": (head("A" * 9000 + " /up HTTP/1.1", "Host: localhost"), EITHER),
    "TRACE": (head("TRACE /up HTTP/1.1", "Host: localhost"), REFUSED),
    "CONNECT": (head("CONNECT localhost:22 HTTP/1.1", "Host: localhost"), REFUSED),
    "other scheme": (head("GET ftp://localhost/up HTTP/1.1", "Host: localhost"), EITHER),
    "bare line feeds": (b"GET /up HTTP/1.1\nHost: localhost\n\n", EITHER),
    # The path
    "NUL in the path": (head("GET /a%00b HTTP/1.1", "Host: localhost"), REFUSED),
    "raw NUL in the path": (head("GET /a\0b HTTP/1.1", "Host: localhost"), REFUSED),
    "path that is not UTF-8": (head("GET /\xff\xfe%ff HTTP/1.1", "Host: localhost"), EITHER),
    "query that is not UTF-8": (head("GET /up?\xff=%ff HTTP/1.1", "Host: localhost"), EITHER),
    "half an escape": (head("GET /% HTTP/1.1", "Host: localhost"), REFUSED),
    "climbing out": (head("GET /../../etc/passwd HTTP/1.1", "Host: localhost"), REFUSED),
    "climbing out, encoded": (
        head("GET /static/%2e%2e/%2e%2e/%2e%2e/etc/passwd HTTP/1.1", "Host: localhost"),
        REFUSED,
    ),
    "line end in the path": (head("GET /%0d%0aX:y HTTP/1.1", "Host: localhost"), EITHER),
    "8 kB path": (request("GET", "/" + "a" * 8192), EITHER),
    "8 kB query": (request("GET", "/up?" + "a" * 8192), EITHER),
    "30 kB path": (request("GET", "/" + "a" * 30_000), REFUSED),
    "30 kB query": (request("GET", "/up?" + "a" * 30_000), REFUSED),
    "8 kB of escapes": (request("GET", "/" + "%41" * 2700), EITHER),
    "thousands of slashes": (request("GET", "/" * 10_000), EITHER),
    "thousands of steps": (request("GET", "/a/.." * 2000), EITHER),
    # Headers
    "X-Forwarded-Proto ff": (up("X-Forwarded-Proto: \xff"), OK),
    "X-Forwarded-Proto c3": (up("X-Forwarded-Proto: \xc3"), OK),
    "X-Forwarded-Proto surrogate": (up("X-Forwarded-Proto: \xed\xa0\x80"), OK),
    "X-Forwarded-Proto, many": (up(*["X-Forwarded-Proto: \xff"] * 50), OK),
    "X-Forwarded-SSL": (up("X-Forwarded-SSL: on"), OK),
    "every byte in a header": (
        up("X-Bytes: " + "".join(chr(byte) for byte in range(1, 256) if byte not in (10, 13))),
        EITHER,
    ),
    "cookie that is not UTF-8": (up("Cookie: session=\xff\xfe\xed\xa0\x80"), OK),
    "authorization that is not UTF-8": (up("Authorization: Basic \xff\xff"), OK),
    "content type that is not UTF-8": (
        post("/read", "Content-Type: \xff", "Content-Length: 0"),
        OK,
    ),
    "NUL in a header": (up("X-Nul: a\0b"), REFUSED),
    "folded header": (up("X-Fold: a", " b"), EITHER),
    "space before the colon": (up("X-Space : a"), EITHER),
    "header without a colon": (up("nonsense"), EITHER),
    "header without a name": (up(": value"), EITHER),
    "250 headers": (up(*[f"X-{number}: x" for number in range(250)]), OK),
    "900 headers": (up(*[f"X-{number}: x" for number in range(900)]), EITHER),
    "2800 smallest headers": (up(*["a:"] * 2800), EITHER),
    "smallest headers of many names": (
        up(*[f"{a}{b}:" for a in "abcdefghijklmnopqrst" for b in "0123456789abcdefghijklmnopqrst"]),
        EITHER,
    ),
    "8 kB header": (up("X-Long: " + "x" * 8192), OK),
    "8 kB cookie": (up("Cookie: a=" + "x" * 8192), OK),
    "30 kB header": (up("X-Long: " + "x" * 30_000), REFUSED),
    "30 kB cookie": (up("Cookie: a=" + "x" * 30_000), REFUSED),
    "30 kB in many headers": (up(*[f"X-{number}: {'x' * 100}" for number in range(280)]), REFUSED),
    "8 kB path and 4 kB headers": (
        request("GET", "/" + "a" * 8192, "Cookie: " + "x" * 4000),
        EITHER,
    ),
    "11 kB query, twice in the packet": (request("GET", "/up?" + "a" * 11_000), EITHER),
    "8 kB content type, twice": (post("/read", "Content-Type: " + "x" * 8192), EITHER),
    "900 ranges": (up("Range: bytes=" + ",".join(f"{n}-" for n in range(900))), EITHER),
    "Expect nonsense": (up("Expect: nonsense"), EITHER),
    "Upgrade": (up("Connection: Upgrade", "Upgrade: websocket"), OK),
    "uwsgi variables": (up("UWSGI_FILE: /etc/passwd", "UWSGI-SCRIPT: os", "UWSGI-CHDIR: /"), OK),
    "httpoxy": (up("Proxy: http://evil.example/"), OK),
    # Host
    "host [::1": (request("GET", "/up", host="[::1"), REFUSED),
    "host <script>": (request("GET", "/up", host="<script>"), REFUSED),
    "host of 8 kB": (request("GET", "/up", host="x" * 8192), REFUSED),
    "host not UTF-8": (request("GET", "/up", host="\xff\xfe"), REFUSED),
    "two hosts": (up("Host: localhost"), REFUSED),
    "port not a number": (request("GET", "/up", host="localhost:\xff"), EITHER),
    # Bodies that the app does not read
    "50 kB unread": (post("/refuse", "Content-Length: 50000", body="x" * 50_000), REFUSED),
    "900 kB unread": (post("/refuse", "Content-Length: 900000", body="x" * 900_000), REFUSED),
    "50 kB unread, chunked": (
        post("/refuse", "Transfer-Encoding: chunked", body=f"c350\r\n{'x' * 50_000}\r\n0\r\n\r\n"),
        REFUSED,
    ),
    "50 kB unread login": (post("/auth/login", "Content-Length: 50000", body="x" * 50_000), EITHER),
    "GET with a body": (
        head("GET /up HTTP/1.1", "Host: localhost", "Content-Length: 50000") + b"x" * 50_000,
        OK,
    ),
    "1.1 MB": (post("/read", "Content-Length: 1100000", body="x" * 1_100_000), REFUSED),
    "1.1 MB, chunked": (chunked(f"10c8e0\r\n{'x' * 1_100_000}\r\n0\r\n\r\n"), REFUSED),
    # Framing
    "length and chunks": (chunked("0\r\n\r\n", "Content-Length: 5"), REFUSED),
    "two lengths": (post("/read", "Content-Length: 1", "Content-Length: 2", body="xx"), REFUSED),
    "negative length": (post("/read", "Content-Length: -1"), REFUSED),
    "length with a sign": (post("/read", "Content-Length: +1", body="x"), REFUSED),
    "length in hexadecimal": (post("/read", "Content-Length: 0x1", body="x"), REFUSED),
    "length beyond 64 bits": (post("/read", "Content-Length: 99999999999999999999"), REFUSED),
    "two codings": (post("/read", "Transfer-Encoding: gzip, chunked"), REFUSED),
    "identity": (post("/read", "Transfer-Encoding: identity"), REFUSED),
    "coding misspelt": (post("/read", "Transfer-Encoding: xchunked", body="0\r\n\r\n"), REFUSED),
    "coding twice": (chunked("0\r\n\r\n", "Transfer-Encoding: chunked"), REFUSED),
    "chunk size not a number": (chunked("zz\r\nx\r\n0\r\n\r\n"), REFUSED),
    "chunk size negative": (chunked("-1\r\nx\r\n0\r\n\r\n"), REFUSED),
    "chunk size overflows": (chunked("fffffffffffffffff\r\nx\r\n0\r\n\r\n"), REFUSED),
    "chunk extension": (chunked('1;a="b"\r\nx\r\n0\r\n\r\n'), OK),
    "chunk trailers": (chunked("1\r\nx\r\n0\r\nX-Trailer: y\r\n\r\n"), OK),
    "a second request inside": (
        post("/read", "Content-Length: 3", body="xyzGET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n"),
        OK,
    ),
    # Paths that are not public
    "dot files": (request("GET", "/.git/config"), REFUSED),
    "dot file below": (request("GET", "/static/.env"), REFUSED),
    "metrics": (request("GET", "/metrics"), REFUSED),
    "metrics below": (request("GET", "/metrics/x"), REFUSED),
    "metrics, encoded": (request("GET", "/%6detrics"), REFUSED),
    "error page itself": (request("GET", "/nginx-error.html"), REFUSED),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nginx, Uwsgi]]:
    with stack_behind_nginx(tmp_path_factory.mktemp("stack")) as both:
        yield both


@pytest.mark.parametrize("name", CORPUS)
def test_request(stack: tuple[Nginx, Uwsgi], name: str) -> None:
    server, app = stack
    message, expected = CORPUS[name]
    before = app.processes()
    answer = server.ask(message)
    assert answer.status // 100 in expected, answer
    assert server.get("/up").status == 200, "the stack does not respond afterwards"
    assert app.processes() == before, "a worker died"


def test_nothing_was_smuggled(stack: tuple[Nginx, Uwsgi]) -> None:
    server, _ = stack
    server.get("/last")
    server.access("/last")
    lines = (server.folder / "access.log").read_text()
    # Bytes after a complete body are a second request, which nginx handles as one.
    assert lines.count("/smuggled") <= 1


def test_an_app_cannot_make_nginx_send_something_else(stack: tuple[Nginx, Uwsgi]) -> None:
    answer = stack[0].get("/x-accel")
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert answer.headers["content-type"] == "text/plain"
    assert not [name for name in answer.headers if name.startswith("x-accel")]


def test_many_at_once(stack: tuple[Nginx, Uwsgi]) -> None:
    server, app = stack
    before = app.processes()
    messages = [message for message, _ in CORPUS.values()] * 2
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda message: ask(server.port, message), messages))
    assert [a.status for a in answers if a.status >= 500] == []
    assert app.processes() == before
    assert server.get("/up").status == 200


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_many_at_once_during_a_swap_of_masters(tmp_path: Path, kind: str) -> None:
    with tempfile.TemporaryDirectory(prefix="app-") as short:
        where = {"APP_SOCKET": f"{short}/s"} if kind == "unix" else {}
        listen: dict[str, Any] = {"tcp": kind == "tcp", **where}
        with (
            echo(tmp_path / "uwsgi", **listen) as app,
            nginx(tmp_path, app.port, **where) as server,
            ThreadPoolExecutor(17) as pool,
        ):
            swap = pool.submit(app.reload)
            seen: list[tuple[str, int]] = []
            meanwhile = 0
            while not swap.done():
                messages = [message for message, _ in CORPUS.values()]
                answers = pool.map(lambda message: ask(server.port, message), messages)
                for name, answer in zip(CORPUS, answers, strict=True):
                    seen.append((name, answer.status))
                    meanwhile += not swap.done()
            assert swap.result().returncode == 0, app.log
            assert [one for one in seen if one[1] >= 500] == []
            assert meanwhile > len(CORPUS) / 2, "the swap took less than half a round"
            assert server.get("/up").status == 200
            assert "DAMN" not in app.log, "a worker died"
