"""Sizes come from the environment. A wrong one is reported with what is allowed."""

import pytest

from loadtest.profiles import PROFILES, ProfileError, read


def test_sizes_can_be_changed() -> None:
    profile = read(
        "soak",
        {
            "SOAK_USERS": "7",
            "SOAK_RATE": "0.5",
            "SOAK_REQUESTS": "123",
            "SOAK_ERRORS_PERCENT": "2",
            "SPIKE_USERS": "9",
        },
    )
    assert (profile.users, profile.rate, profile.requests) == (7, 0.5, 123)
    assert profile.errors_percent == 2
    assert profile.seconds == PROFILES["soak"].seconds


def test_soak_makes_at_least_200_000_requests_with_32_users() -> None:
    profile = read("soak", {})
    assert profile.requests >= 200_000
    assert profile.users >= 4 * 8


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SMOKE_USERS", "0", "SMOKE_USERS='0': must be a whole number above 0"),
        ("SMOKE_USERS", "4.5", "SMOKE_USERS='4.5': must be a whole number above 0"),
        ("SMOKE_SECONDS", "", "SMOKE_SECONDS='': must be a number above 0"),
        ("SMOKE_SECONDS", "-1", "must be a number above 0"),
        ("SMOKE_RATE", "nan", "must be a number above 0"),
        ("SMOKE_REQUESTS", "1e5", "must be a whole number above 0 or 0"),
        ("SMOKE_REQUEST", "5", "SMOKE_REQUEST: no such figure; did you mean SMOKE_REQUESTS?"),
        ("SMOKE_COLOUR", "5", "figures: USERS, RATE"),
    ],
)
def test_a_wrong_size_is_named(name: str, value: str, said: str) -> None:
    with pytest.raises(ProfileError) as error:
        read("smoke", {name: value})
    assert said in str(error.value)


def test_an_unknown_profile_lists_the_known() -> None:
    with pytest.raises(ProfileError) as error:
        read("spkie", {})
    assert "did you mean spike?" in str(error.value)
    for name in PROFILES:
        assert f"  {name}" in str(error.value)
