"""Hashes have OWASP's parameters, and are renewed when those change."""

import pytest

from app.security.hashing import Argon2Hasher


class Heavier(Argon2Hasher):
    passes = 3


def test_parameters():
    assert Argon2Hasher().hash("a password").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_two_hashes_of_one_password_differ():
    assert Argon2Hasher().hash("a password") != Argon2Hasher().hash("a password")


@pytest.mark.parametrize("wrong", ["", "a Password", "a password ", " a password", "a passwor"])
def test_a_password_is_taken_exactly_as_it_is(wrong):
    stored = Argon2Hasher().hash("a password")
    assert Argon2Hasher().verify(stored, "a password")
    assert not Argon2Hasher().verify(stored, wrong)


@pytest.mark.parametrize("stored", ["", "plain text", "$argon2id$", "scrypt:32768:8:1$x$y", "\x00"])
def test_a_damaged_hash_opens_nothing(stored):
    assert not Argon2Hasher().verify(stored, "a password")


def test_other_parameters_ask_for_a_new_hash():
    stored = Argon2Hasher().hash("a password")
    assert not Argon2Hasher().needs_rehash(stored)
    assert Heavier().needs_rehash(stored)
    assert Heavier().verify(stored, "a password")
