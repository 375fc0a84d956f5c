"""How passwords are hashed and verified."""

from argon2 import PasswordHasher, Type, extract_parameters

from app.security import passwords
from tests.security.hashing import RecordingHasher


def test_the_parameters_are_those_that_owasp_recommends_first() -> None:
    hasher = passwords._hasher
    assert hasher.type is Type.ID
    assert (hasher.memory_cost, hasher.time_cost, hasher.parallelism) == (46 * 1024, 1, 1)
    assert hasher.salt_len >= 16


async def test_a_password_is_verified_against_its_hash(hasher: RecordingHasher) -> None:
    password_hash = await passwords.hash_password("correct horse")

    assert await passwords.verify_password(password_hash, "correct horse")
    assert not await passwords.verify_password(password_hash, "Correct horse")


async def test_a_hash_is_salted(hasher: RecordingHasher) -> None:
    assert await passwords.hash_password("correct horse") != await passwords.hash_password("correct horse")


async def test_without_a_hash_no_password_is_right(hasher: RecordingHasher) -> None:
    assert not await passwords.verify_password(None, "correct horse")
    assert not await passwords.verify_password(None, "nobody's password")


async def test_without_a_hash_the_same_work_is_done(hasher: RecordingHasher) -> None:
    await passwords.verify_password(None, "correct horse")

    (verified,) = hasher.verified
    assert extract_parameters(str(verified)) == extract_parameters(hasher.hash("any"))


async def test_the_first_verification_does_no_more_than_the_next(hasher: RecordingHasher) -> None:
    await passwords.verify_password(None, "correct horse")

    assert hasher.methods == ["verify"]


async def test_what_is_no_hash_is_verified_as_wrong(hasher: RecordingHasher) -> None:
    assert not await passwords.verify_password("not a hash", "correct horse")


async def test_hashing_runs_off_the_event_loop(hasher: RecordingHasher) -> None:
    password_hash = await passwords.hash_password("correct horse")
    await passwords.verify_password(password_hash, "correct horse")

    assert hasher.methods == ["hash", "verify"]
    assert all(call.thread.startswith("argon2") for call in hasher.calls), hasher.calls


def test_a_hash_of_other_parameters_needs_a_rehash() -> None:
    weaker = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

    assert passwords.needs_rehash(weaker.hash("correct horse"))


async def test_a_hash_of_todays_parameters_needs_no_rehash(hasher: RecordingHasher) -> None:
    assert not passwords.needs_rehash(await passwords.hash_password("correct horse"))


TYPED_ON = {"a Mac": "Cafe\u0301 ﬁancée\u00a0№ ｆ", "Windows": "Caf\u00e9 fiancée No f"}


async def test_the_same_password_is_typed_in_many_ways(hasher: RecordingHasher) -> None:
    for typed in TYPED_ON.values():
        password_hash = await passwords.hash_password(typed)

        assert [await passwords.verify_password(password_hash, each) for each in TYPED_ON.values()] == [True, True]


async def test_a_password_hashed_as_it_was_typed_is_still_right(hasher: RecordingHasher) -> None:
    typed = TYPED_ON["a Mac"]
    password_hash = passwords._hasher.hash(typed)

    assert await passwords.verify_password(password_hash, typed)
    assert not await passwords.verify_password(password_hash, "Cafe")
    assert not await passwords.verify_password(None, typed)
