"""nginx serves static files, compressed and immutable; the app gets requests for other names."""

import gzip
from collections.abc import Iterator

import pytest

from tests.servers.nginx import Nginx, request, stack_behind_nginx

STYLE = "/static/style.0123456789ab.css"
TEXT = "body { color: black; }\n" * 100
FOR_EVER = "public, max-age=31536000, immutable"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    static = folder / "static"
    (static / "fonts").mkdir(parents=True)
    for name in ("style.0123456789ab.css", "fonts/a.0123456789ab.css", "plain.css"):
        (static / name).write_text(TEXT)
    (static / "style.0123456789ab.css.gz").write_bytes(gzip.compress(TEXT.encode()))
    (static / "site.0123456789ab.webmanifest").write_text("{}")
    (static / ".hidden").write_text("secret")
    (folder / "secret").write_text("secret")
    with stack_behind_nginx(folder) as (front, _):
        yield front


def test_a_hashed_name_is_immutable(server: Nginx) -> None:
    for path in (STYLE, "/static/fonts/a.0123456789ab.css"):
        answer = server.get(path)
        assert (answer.status, answer.body.decode()) == (200, TEXT)
        assert answer.headers["cache-control"] == FOR_EVER
        assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert server.access(STYLE)["upstream"] == "", "the request reached the app"


def test_compressed_if_the_client_accepts_it(server: Nginx) -> None:
    answer = server.get(STYLE, "Accept-Encoding: gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["cache-control"] == FOR_EVER
    assert gzip.decompress(answer.body).decode() == TEXT
    assert "content-encoding" not in server.get(STYLE).headers


def test_not_modified(server: Nginx) -> None:
    tag = server.get(STYLE).headers["etag"]
    again = server.get(STYLE, f"If-None-Match: {tag}")
    assert (again.status, again.body) == (304, b"")
    assert again.headers["cache-control"] == FOR_EVER


def test_a_plain_name_is_revalidated(server: Nginx) -> None:
    assert server.get("/static/plain.css").headers["cache-control"] == "no-cache"


def test_types_that_browsers_need(server: Nginx) -> None:
    answer = server.get("/static/site.0123456789ab.webmanifest")
    assert answer.headers["content-type"].startswith("application/manifest+json")


def test_a_missing_name_reaches_the_app(server: Nginx) -> None:
    for path in ("/static/gone.0123456789ab.css", "/static/", "/static/fonts/", "/static"):
        answer = server.get(path)
        assert (answer.status, answer.json()["PATH_INFO"]) == (200, path)
        assert "cache-control" not in answer.headers, "the app's response became immutable"
    body = server.ask(request("POST", "/static/upload", body=b"x")).json()
    assert body["REQUEST_METHOD"] == "POST"


def test_nothing_outside_the_directory(server: Nginx) -> None:
    assert server.get("/static/.hidden").status == 404
    for path in (
        "/static/../secret",
        "/static/..%2fsecret",
        "/static/%2e%2e/secret",
        "/static../secret",
        "/static//../../secret",
        "/static/fonts/../../../secret",
    ):
        answer = server.get(path)
        assert answer.body != b"secret", path
        assert answer.status in (200, 400, 404), path
