"""The types of Flask's own sessions come back unchanged; others are refused with a clear error."""

import string
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as some
from markupsafe import Markup

from app.sessions.codec import decode, encode

scalars = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False)
    | some.text()
    | some.binary()
    | some.datetimes(timezones=some.just(UTC))
    | some.uuids()
    | some.text(string.printable).map(Markup)
)
values = some.recursive(
    scalars,
    lambda inner: (
        some.lists(inner) | some.lists(inner).map(tuple) | some.dictionaries(some.text(), inner)
    ),
    max_leaves=12,
)


def same(left, right):
    """Equal and of the same type at every level."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


@given(values)
def test_every_value_that_flask_sessions_hold(value):
    assert same(decode(encode(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**63) - 1,
        datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC),
        uuid4(),
        Markup("<b>bold</b>"),
        [("message", "plain"), ("error", Markup("<b>!</b>"))],
        {"deep": [{"tuple": (1, (2, b"3"))}]},
    ],
)
def test_particular_values(value):
    assert same(decode(encode(value)), value)


def test_a_lazy_text_becomes_markup_as_in_flask():
    class Lazy:
        def __html__(self):
            return "<i>later</i>"

    assert same(decode(encode(Lazy())), Markup("<i>later</i>"))


def test_a_subclass_becomes_what_it_stands_for():
    from collections import OrderedDict, defaultdict

    assert decode(encode(defaultdict(list, a=[1]))) == {"a": [1]}
    assert decode(encode(OrderedDict(a=1))) == {"a": 1}


@pytest.mark.parametrize("value", [object(), {1, 2}, lambda: 1, [object()], 1j])
def test_what_cannot_be_stored_is_named(value):
    with pytest.raises(TypeError, match="a session cannot hold a"):
        encode(value)


def test_a_uuid_is_no_text():
    assert isinstance(decode(encode(UUID(int=1))), UUID)
