"""An account stores a bounded number of posts, at a bounded rate, and a command deletes them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.posts.store import PostStore
from tests.people.in_process import member


def test_so_many_an_account(app, monkeypatch):
    monkeypatch.setattr(PostStore, "max_posts", 3)
    ada, _ = member(app)
    paths = [ada.write() for _ in range(3)]
    answer = ada.send("/posts/", title="One more", text="A text not to be lost")
    assert answer.status_code == 429 and "at most 3 posts" in answer.text
    assert "A text not to be lost" in answer.text
    assert member(app)[0].write()
    ada.send(f"{paths[0]}/delete")
    assert ada.write()


def test_so_many_a_minute(app, monkeypatch):
    monkeypatch.setattr(PostStore, "per_minute", 2)
    ada, _ = member(app)
    for _ in range(2):
        ada.write()
    answer = ada.send("/posts/", title="One more", text="A text")
    assert answer.status_code == 429 and answer.headers["Retry-After"] == "60"


def test_parallel_posts_do_not_pass_the_limit(app, monkeypatch):
    monkeypatch.setattr(PostStore, "max_posts", 5)
    store = app.extensions["posts"]

    def write(_number):
        try:
            return store.write(author_id="parallel", author="ada", title="t", text="t")
        except Exception:
            return None

    with ThreadPoolExecutor(10) as pool:
        assert sum(each is not None for each in pool.map(write, range(30))) <= 5


@pytest.mark.parametrize("deleted", [False, True])
def test_a_command_deletes_the_posts_of_an_account(app, deleted):
    ada, name = member(app)
    bob, _ = member(app)
    mine, other = [ada.write(), ada.write()], bob.write()
    security = app.extensions["security"]
    user = security.find(name)
    if deleted:
        security.delete(user)
    who = user.id if deleted else name
    done = app.test_cli_runner().invoke(args=["posts", "purge", who, "--yes"])
    assert done.exit_code == 0 and "Deleted 2 posts" in done.output
    assert {bob.get(path).status_code for path in mine} == {404}
    assert bob.get(other).status_code == 200


def test_posts_of_before_the_limit_count_after_a_command(app, monkeypatch):
    ada, name = member(app)
    path = ada.write()
    author = app.extensions["security"].find(name).id
    app.extensions["redis"].execute("UNLINK", f"post:of:{author}")
    monkeypatch.setattr(PostStore, "max_posts", 1)
    for _ in range(2):  # it can be repeated
        done = app.test_cli_runner().invoke(args=["posts", "count"])
        assert done.exit_code == 0 and "Counted " in done.output
    assert ada.send("/posts/", title="One more", text="A text").status_code == 429
    purged = app.test_cli_runner().invoke(args=["posts", "purge", author, "--yes"])
    assert "Deleted 1 posts" in purged.output
    assert ada.get(path).status_code == 404


def test_a_post_that_is_deleted_while_the_command_counts_does_not_count(app, monkeypatch):
    ada, name = member(app)
    path = ada.write()
    author = app.extensions["security"].find(name).id
    client = app.extensions["redis"]
    pipeline = client.pipeline

    def deleted_first(commands, **options):
        if commands[0][0] == "ZADD":
            monkeypatch.undo()
            ada.send(f"{path}/delete")
        return pipeline(commands, **options)

    monkeypatch.setattr(client, "pipeline", deleted_first)
    app.extensions["posts"].count_all()
    assert client.execute("ZCARD", f"post:of:{author}") == 0


def test_the_second_of_two_tabs_is_told_and_loses_nothing(app):
    ada, _ = member(app)
    path = ada.write(text="The first text")
    for version in ("the first edit", "the second edit"):
        tabs = [_form(ada, path), _form(ada, path)]
        saved = ada.post(f"{path}/edit", tabs[0] | {"title": "t", "text": version})
        assert saved.status_code == 303
        late = ada.post(f"{path}/edit", tabs[1] | {"title": "t", "text": "of the other tab"})
        assert late.status_code == 409
        assert "of the other tab" in late.text and version in late.text
        assert version in ada.get(path).text
    again = _fields(late.text) | {"title": "t", "text": "both of them"}
    assert ada.post(f"{path}/edit", again).status_code == 303
    assert "both of them" in ada.get(path).text


def _form(person, path):
    return _fields(person.get(f"{path}/edit").text)


def _fields(page):
    import re

    inputs = re.findall(r"<input[^>]*type=\"hidden\"[^>]*>", page)
    pairs = [
        (re.search(r'name="([^"]+)"', each), re.search(r'value="([^"]*)"', each)) for each in inputs
    ]
    return {name[1]: value[1] if value else "" for name, value in pairs}
