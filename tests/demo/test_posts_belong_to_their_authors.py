"""Logged-in users read all posts, only the author edits one, and moderators may delete any."""

import re

import pytest

from tests.people.in_process import make_app, member, with_role


@pytest.fixture(scope="module")
def app(redis):
    return make_app(redis)


@pytest.fixture(autouse=True)
def empty(app):
    store = app.extensions["posts"]
    for post in store.page(1, 1000).posts:
        store.delete(post)


@pytest.fixture
def author(app):
    return member(app)[0]


@pytest.fixture
def reader(app):
    return member(app)[0]


@pytest.fixture
def moderator(app):
    return with_role(app, "moderator")[0]


def titles(page):
    return re.findall(r"<h2[^>]*><a[^>]*>([^<]*)</a></h2>", page)


@pytest.mark.parametrize("path", ["/posts/", "/posts/?page=2", "/posts/" + "0" * 16])
def test_an_anonymous_visitor_is_sent_to_the_login(app, path):
    answer = app.test_client().get(path)
    assert answer.status_code == 302
    assert answer.location.startswith("/auth/login?next=")
    refused = app.test_client().get(path, headers={"Accept": "application/json"})
    assert refused.status_code == 401


def test_a_post_is_read_by_others(author, reader):
    address = author.write("Tea", "First.\r\nStill first.\r\n\r\nSecond.")
    page = reader.get(address).text
    assert "<h1" in page and "Tea</h1>" in page
    assert author.name in page
    assert [p.strip() for p in re.findall(r'<p dir="auto">(.*?)</p>', page, re.S)] == [
        "First.\nStill first.",
        "Second.",
    ]
    assert titles(reader.get("/posts/").text) == ["Tea"]


def test_markup_is_escaped(author):
    address = author.write("<b>bold</b>", "<script>alert(1)</script>{{ 7 * 7 }}")
    for page in (author.get(address).text, author.get("/posts/").text):
        assert "&lt;b&gt;bold" in page
        assert "&lt;script&gt;" in page
        assert "<script" not in page
        assert "{{ 7 * 7 }}" in page


def test_the_author_edits(author):
    address = author.write()
    answer = author.send(f"{address}/edit", title="Better", text="Much better")
    assert (answer.status_code, answer.location) == (303, address)
    page = author.get(address).text
    assert "Much better" in page
    assert "edited" in page
    assert "Your changes have been saved." in page
    assert "Your changes have been saved." not in author.get(address).text


def test_the_author_deletes_after_a_confirmation(author):
    address = author.write()
    confirmation = author.get(f"{address}/delete")
    assert "Delete this post?" in confirmation.text
    assert author.get(address).status_code == 200
    assert author.send(f"{address}/delete").location == "/posts/"
    assert author.get(address).status_code == 404
    assert titles(author.get("/posts/").text) == []


def test_others_neither_edit_nor_delete(author, reader):
    address = author.write()
    page = reader.get(address).text
    assert "/edit" not in page
    assert "/delete" not in page
    fields = {"title": "Mine now", "text": "Mine now"}
    assert reader.get(f"{address}/edit").status_code == 403
    assert reader.send(f"{address}/edit", "/posts/", **fields).status_code == 403
    assert reader.get(f"{address}/delete").status_code == 403
    assert reader.send(f"{address}/delete", "/posts/").status_code == 403
    assert "A text" in author.get(address).text


def test_a_moderator_deletes_and_does_not_edit(author, moderator):
    address = author.write()
    fields = {"title": "Mine now", "text": "Mine now"}
    assert moderator.send(f"{address}/edit", "/posts/", **fields).status_code == 403
    assert moderator.send(f"{address}/delete").status_code == 303
    assert author.get(address).status_code == 404


def test_no_change_without_the_form_token(author):
    address = author.write()
    for path in ("/posts/", f"{address}/edit", f"{address}/delete"):
        answer = author.client.post(path, data={"title": "x", "text": "x"})
        assert answer.status_code == 400, path
    assert "A text" in author.get(address).text


def test_editing_does_not_recreate_a_deleted_post(app, author):
    address = author.write()
    page = author.get(f"{address}/edit").text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page).group(1)
    store = app.extensions["posts"]
    found = store.get

    def get_then_delete(post_id):
        post = found(post_id)
        store.delete(post)
        return post

    store.get = get_then_delete
    try:
        fields = {"title": "x", "text": "x", "csrf_token": token}
        assert author.client.post(f"{address}/edit", data=fields).status_code == 404
    finally:
        del store.get
    assert app.extensions["redis"].execute("EXISTS", f"post:item:{address[7:]}", "post:index") == 0


def test_a_refused_form_keeps_its_text_and_states_the_error(author):
    answer = author.send("/posts/", title="x" * 121, text="My long thoughts")
    assert answer.status_code == 400
    assert "1 character too long" in answer.text
    assert "My long thoughts" in answer.text
    assert "<title>Error:" in answer.text
    assert 'aria-invalid="true"' in answer.text
    described = re.search(r'<input[^>]*name="title"[^>]*>', answer.text).group(0)
    for id_ in re.search(r'aria-describedby="([^"]+)"', described).group(1).split():
        assert f'id="{id_}"' in answer.text
    address = author.write()
    wrong = author.send(f"{address}/edit", title="", text="Kept")
    assert wrong.status_code == 400
    assert "The title is missing." in wrong.text
    assert "Kept" in wrong.text


def test_the_newest_posts_are_on_the_first_page(app, author):
    store = app.extensions["posts"]
    for number in range(45):
        store.write(author_id="1", author="x", title=f"Post {number}", text="…")
    first, second, third = (titles(author.get(f"/posts/?page={n}").text) for n in (1, 2, 3))
    assert first == [f"Post {n}" for n in range(44, 24, -1)]
    assert second == [f"Post {n}" for n in range(24, 4, -1)]
    assert third == [f"Post {n}" for n in range(4, -1, -1)]
    page = author.get("/posts/?page=2").text
    assert "Page 2 of 3" in page
    assert 'rel="prev"' in page
    assert 'rel="next"' in page
    assert 'rel="next"' not in author.get("/posts/?page=3").text
    assert author.get("/posts/?page=4").status_code == 404


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "1.5", "%D9%A1", "9" * 5000])
def test_an_invalid_page_number_is_explained(author, page):
    answer = author.get(f"/posts/?page={page}")
    assert answer.status_code == 400
    assert "?page=2" in answer.text


@pytest.mark.parametrize(
    "post_id", ["x", "0" * 16, "9" * 5000, "..%2f..%2fetc", "*" * 16, "%00" * 16]
)
def test_a_post_that_does_not_exist_is_404(author, post_id):
    assert author.get(f"/posts/{post_id}").status_code == 404


def test_pages_are_not_cached(author):
    for path in ("/posts/", author.write()):
        assert author.get(path).headers["Cache-Control"] == "no-store"


def test_the_next_user_of_a_name_does_not_own_its_posts(app, author):
    address = app.extensions["posts"].write(
        author_id="somebody-deleted", author=author.name, title="Old", text="Old"
    )
    assert author.get(f"/posts/{address}/edit").status_code == 403


def test_the_empty_form_is_rendered_once_and_holds_nothing_of_a_visitor(app, author, reader):
    app.extensions["posts.fields"].clear()
    first = author.get("/posts/").text
    refused = author.send("/posts/", title="Half a draft", text="")
    assert refused.status_code == 400
    assert "Half a draft" in refused.text
    assert "The text is missing." in refused.text
    fields = [page.partition("csrf_token")[2] for page in (first, reader.get("/posts/").text)]
    tokens = [re.search(r'value="([^"]+)">', each)[1] for each in fields]
    assert tokens[0] != tokens[1]
    for field in ("Half a draft", "missing", author.name, tokens[0]):
        assert field not in app.extensions["posts.fields"]["empty"]
    assert reader.send("/posts/", title="Mine", text="A text").status_code == 303
