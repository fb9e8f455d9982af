"""Brings docs/examples/bookshop into a checkout as docs/make-it-yours.md says, and uses it."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from tests.people.over_http import Person
from tests.waiting import wait_until

COVER = secrets.token_bytes(5 << 20)


def bring(checkout: Path, **variables: str) -> None:
    """Run the commands of docs/make-it-yours.md; add *variables* to those of the app."""
    page = (checkout / "docs" / "make-it-yours.md").read_text(encoding="utf-8")
    commands = re.search(r"```sh\n(# The app:.*?)```", page, re.DOTALL)[1]
    subprocess.run(["sh", "-ec", commands], cwd=checkout, check=True)
    with (checkout / "project" / "app.env").open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in variables.items())


def use(address: str, receipts: Callable[[], str]) -> None:
    """Use every function of the bookshop. *receipts* returns the file of its background thread."""
    person = Person(address)
    front = person.get("/").text
    assert "A Wizard of Earthsea" in front
    assert "Corner Bookshop" in front, "a variable of app.env"
    assert "javascript" in person.get("/static/bookshop.js").headers["content-type"]
    logs_in(person)
    orders(person, receipts)
    uploads_a_cover(person)
    downloads(person)
    gets_events_as_they_happen(address)


def orders_stay(address: str) -> None:
    """After `use()` and a restart or a reload."""
    assert Person(address).get("/api/books?q=kindred").json[0]["sold"] == 12


def logs_in(person: Person) -> None:
    """Register, log out, log in with "stay logged in", and close the browser."""
    name, password = f"ada-{secrets.token_hex(4)}", secrets.token_urlsafe()
    assert "/members/login" in person.get("/members/me").url
    assert person.fill_in("/members/register", name=name, password=password).json["name"] == name
    assert person.fill_in("/", action="/members/logout").status == 200
    assert "/members/login" in person.get("/members/me").url
    wrong = person.fill_in("/members/login", name=name, password="not " + password)
    assert "Wrong name or password" in wrong.text
    in_ = person.fill_in("/members/login", name=name, password=password, remember="y")
    assert in_.json == {"name": name, "fresh": True}
    for cookie in list(person.cookies):
        if cookie.discard:  # a browser that is closed forgets it
            person.cookies.clear(cookie.domain, cookie.path, cookie.name)
    assert person.get("/members/me").json == {"name": name, "fresh": False}


def orders(person: Person, receipts: Callable[[], str]) -> None:
    """Order twelve copies at the same time, as bookshop.js does."""
    token = re.search(r'name="csrf-token" content="([^"]+)"', person.get("/").text)[1]
    book = person.get("/api/books?q=kindr").json[0]
    body = json.dumps({"book": book["id"]}).encode()

    def order(token: str) -> int:
        headers = {"Content_Type": "application/json", "X_CSRFToken": token}
        return person.send("/api/orders", body, **headers).status

    assert order("forged") == 400
    with ThreadPoolExecutor(6) as clients:
        assert list(clients.map(order, [token] * 12)) == [201] * 12
    assert person.get("/api/books?q=kindr").json[0]["sold"] == book["sold"] + 12
    wait_until(lambda: receipts().count("Kindred") >= 12)


def uploads_a_cover(person: Person) -> None:
    page = person.get("/books/1/cover?edit").text
    token = re.search(r'name="csrf_token" [^>]*value="([^"]+)"', page)[1]
    parts = [
        b'--cut\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n' + token.encode(),
        b'--cut\r\nContent-Disposition: form-data; name="picture"; filename="c.png"\r\n\r\n'
        + COVER,
        b"--cut--\r\n",
    ]
    sent = person.send(
        "/books/1/cover", b"\r\n".join(parts), Content_Type="multipart/form-data; boundary=cut"
    )
    assert sent.text == f"{len(COVER)} bytes"
    assert person.get("/books/1/cover").body == COVER


def downloads(person: Person) -> None:
    rows = person.get("/export.csv?copies=20000").text.splitlines()
    assert len(rows) == 60_000
    assert rows[-1] == "19999,Solaris,Stanisław Lem,9.9"


def gets_events_as_they_happen(address: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    arrived = []
    while line := answer.readline():
        if line.startswith(b"data: "):
            arrived.append(time.monotonic())
    ended = time.monotonic()  # 1.5 seconds after the first event was sent
    connection.close()
    assert len(arrived) == 3
    assert ended - arrived[0] > 0.5, "all events arrived at the end"
