"""The connection breaks between a write of a post and its answer: it is applied once."""

import pytest

from app.posts.store import PostStore
from app.redis_client import RedisClient
from tests.servers.fault_proxy import FaultProxy


@pytest.mark.parametrize("trip", [1, 2])
def test_a_post(proxy: FaultProxy, client: RedisClient, trip: int) -> None:
    store, author = PostStore(client), f"author-{trip}"
    proxy.cut_answer(client, trip)
    written = store.write(author_id=author, author="ada", title="t", text="t")
    assert [post.id for post in store.page(1, 100).posts].count(written) == 1
    assert store.delete_of(author) == 1


def test_an_edited_post(proxy: FaultProxy, client: RedisClient) -> None:
    store = PostStore(client)
    written = store.write(author_id="editor", author="ada", title="t", text="before")
    proxy.cut_answer(client)
    assert store.edit(written, title="t", text="after", version=store.get(written).version)
    assert store.get(written).text == "after"
