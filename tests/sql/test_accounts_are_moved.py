"""All accounts are copied between Redis and the database, and nothing of others is overwritten."""

from collections.abc import Iterator

import pytest

from app.redis_client import connect
from app.security.names import canonical
from app.security.redis_users import RedisUserStore
from app.security.users import User
from app.sql_users import METADATA, SqlUserStore, engine_of
from app.sql_users.accounts import PAGE, InDatabase, InRedis, Refused
from app.sql_users.move import copy, locked
from tests.servers.redis import RedisServer


@pytest.fixture
def redis_users(redis: RedisServer) -> Iterator[RedisUserStore]:
    client = connect(redis.environ["REDIS_URL"], redis.password)
    in_redis = InRedis(client)
    for page in list(in_redis.pages()):
        in_redis.remove(page)
    yield RedisUserStore(User, client)


@pytest.fixture
def in_redis(redis_users: RedisUserStore) -> InRedis:
    return InRedis(redis_users._redis)


@pytest.fixture
def sql_users(users_url: str) -> Iterator[SqlUserStore]:
    engine = engine_of(users_url, 2)
    METADATA.drop_all(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS stack_users_version")
    with locked(users_url):
        pass  # the migrations
    yield SqlUserStore(User, engine)
    engine.dispose()


@pytest.fixture
def database(sql_users: SqlUserStore) -> Iterator[InDatabase]:
    with sql_users._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        yield InDatabase(connection)


def add(store: RedisUserStore | SqlUserStore, number: int, name: str = "") -> User:
    name = name or f"Ada-{number}"
    user = User(
        f"{number:032x}",
        name,
        ("admin", "editor") if number % 2 else (),
        is_active=number % 3 > 0,
        created_at=1.7e9 + number / 7,
        epoch=number,
        details={"city": "Zürich"} if number % 5 == 0 else {},
    )
    store.create(user, canonical(name), f"hash {number}")
    return user


def everything(accounts: InRedis | InDatabase) -> dict:
    return {one.id: one for page in accounts.pages() for one in page}


def test_there_and_back(redis_users, in_redis, sql_users, database) -> None:
    for number in range(PAGE + 3):
        add(redis_users, number)
    before = everything(in_redis)
    assert copy(in_redis, database) == PAGE + 3 == len(before)
    assert everything(database) == before == everything(in_redis)
    found = sql_users.by_name(canonical("Ada-5"))
    assert found == redis_users.by_name(canonical("Ada-5")) and found.password_hash == "hash 5"
    assert found.user.epoch == 5 and found.user.details == {"city": "Zürich"}
    # Again: nothing to do. A change there comes back.
    copy(in_redis, database)
    assert sql_users.update(found.user, epoch=6, password_hash="new")
    add(sql_users, 9_000)
    assert copy(database, in_redis) == PAGE + 4
    assert everything(in_redis) == everything(database)
    assert redis_users.by_name(canonical("Ada-5")).password_hash == "new"
    assert redis_users.by_name(canonical("Ada-9000")) is not None


def test_an_interrupted_copy_goes_on(redis_users, in_redis, database) -> None:
    for number in range(4):
        add(redis_users, number)
    some = list(everything(in_redis).values())
    database.put([some[0], some[1]._replace(password_hash="older", epoch=0)])
    copy(in_redis, database)
    assert everything(database) == everything(in_redis)


def test_what_others_have_is_not_overwritten(redis_users, in_redis, sql_users, database) -> None:
    for number in range(3):
        add(redis_users, number)
    other = add(sql_users, 77, "Ada-1")
    before = everything(database)
    with pytest.raises(Refused, match=r"^other accounts have these names there: Ada-1$"):
        copy(in_redis, database)
    assert everything(database) == before
    sql_users.delete(other, "")

    copy(in_redis, database)
    changed = sql_users.get(f"{2:032x}")
    assert sql_users.update(changed, epoch=7, password_hash="used already")
    with pytest.raises(Refused, match=r"^these accounts were changed there: Ada-2$"):
        copy(in_redis, database)
    assert sql_users.by_name(canonical("Ada-2")).password_hash == "used already"


def test_accounts_of_the_target_alone_need_a_decision(
    redis_users, in_redis, sql_users, database
) -> None:
    add(redis_users, 1)
    add(sql_users, 2)
    with pytest.raises(Refused, match=r"exist only there: Ada-2; EXTRA=keep or EXTRA=delete"):
        copy(in_redis, database)
    assert len(everything(database)) == 1
    assert copy(in_redis, database, "keep") == 1
    assert len(everything(database)) == 2
    copy(in_redis, database, "delete")
    assert everything(database) == everything(in_redis)


def test_a_late_removal_leaves_the_name_to_its_new_owner(redis_users, in_redis) -> None:
    former = add(redis_users, 1, "Ada")
    seen = list(everything(in_redis).values())
    redis_users.delete(former, canonical("Ada"))
    add(redis_users, 2, "Ada")
    in_redis.remove(seen)
    assert list(everything(in_redis)) == [f"{2:032x}"]


def test_half_registered_names_are_left(redis_users, in_redis, database) -> None:
    add(redis_users, 1)
    # A crash of create() before the name was claimed.
    redis_users._redis.execute("DEL", "account:name:" + canonical("Ada-1"))
    add(redis_users, 11, "Ada-1")
    assert copy(in_redis, database) == 1
    assert list(everything(database)) == [f"{11:032x}"]
    assert in_redis.left == {"Ada-1"}


def test_meanwhile_others_read_and_do_not_write(users_url, sql_users) -> None:
    ada = add(sql_users, 1)
    with locked(users_url) as database:
        assert sql_users.get(ada.id) == ada
        with pytest.raises(Exception, match="lock"):
            sql_users.update(ada, epoch=2)
        assert len(everything(database)) == 1
    assert sql_users.update(ada, epoch=2)
