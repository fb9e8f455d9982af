"""With STACK_PREFIX the app is below a path, and everything else is 404."""

from collections.abc import Iterator

import pytest

from tests.servers.nginx import Nginx, request, stack_behind_nginx


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "static").mkdir()
    (folder / "static/a.0123456789ab.css").write_text("a {}")
    settings = {"STACK_PREFIX": "/my.shop/de", "STACK_HOSTS": "localhost"}
    with stack_behind_nginx(folder, **settings) as (server, _):
        yield server


def test_the_path_is_divided_as_wsgi_asks(server: Nginx) -> None:
    for path, below in (("/", "/"), ("/a/b", "/a/b"), ("//a%20b", "/a b"), ("/a%0Ab", "/a\nb")):
        seen = server.get(f"/my.shop/de{path}?c=d").json()
        assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/my.shop/de", below)
        assert seen["REQUEST_URI"] == f"/my.shop/de{path}?c=d"


def test_everything_else_is_not_found(server: Nginx) -> None:
    for path in ("/", "/up", "/my.shop", "/my.shop/", "/my.shop/dex", "/myxshop/de/", "/static/"):
        assert server.get(path).status == 404, path


def test_the_prefix_itself_gets_its_slash(server: Nginx) -> None:
    answer = server.get("/my.shop/de?a=b")
    assert (answer.status, answer.headers["location"]) == (308, "/my.shop/de/?a=b")


def test_static_files_and_the_files_of_error_pages(server: Nginx) -> None:
    answer = server.get("/my.shop/de/static/a.0123456789ab.css")
    assert (answer.body, answer.headers["cache-control"].count("immutable")) == (b"a {}", 1)
    assert server.get("/my.shop/de/static/own").json()["PATH_INFO"] == "/static/own"
    page = server.get("/my.shop/de/.env").body
    assert b'href="/my.shop/de/nginx-error.css"' in page
    assert b'href="/my.shop/de/"' in page
    for path in ("/my.shop/de/nginx-error.css", "/nginx-error.css"):
        assert server.get(path).headers["content-type"] == "text/css; charset=utf-8"


def test_hidden_and_health_paths_are_below_it(server: Nginx) -> None:
    for path in ("/metrics", "//metrics/x", "/a/.git/config"):
        assert server.get(f"/my.shop/de{path}").status == 404
    assert server.get("/my.shop/de/readyz", host="192.0.2.1").status == 200
    assert server.get("/my.shop/de/up", host="192.0.2.1").status == 421
    assert server.get("/nginx-health", host="192.0.2.1").status == 200


def test_slashes_are_kept_if_the_app_wants_them(
    tmp_path_factory: pytest.TempPathFactory, server: Nginx
) -> None:
    path = "/proxy/http://example.org//a"
    assert server.get(f"/my.shop/de{path}").json()["PATH_INFO"] == "/proxy/http:/example.org/a"
    folder = tmp_path_factory.mktemp("kept")
    with stack_behind_nginx(folder, STACK_MERGE_SLASHES="off") as (keeping, _):
        assert keeping.get(path).json()["PATH_INFO"] == path
        for hidden in ("//metrics", "/a//.env", "//.git/config"):
            assert keeping.get(hidden).status == 404, hidden


def test_a_larger_body(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("body")
    with stack_behind_nginx(folder, STACK_BODY_LIMIT="3") as (server, _):
        for size, status in ((3 << 20, 200), ((3 << 20) + 1, 413)):
            assert server.ask(request("POST", "/read", body=b"x" * size)).status == status
