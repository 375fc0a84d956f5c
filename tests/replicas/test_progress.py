"""How far behind a replica is, by what the primary had written when."""

from math import inf

from uuid_utils.compat import uuid7

from app.replicas.progress import Progress
from app.replicas.writers import Writers


def test_a_replica_is_no_older_than_when_the_primary_had_written_as_much() -> None:
    progress = Progress()
    assert progress.lag(0) == 0, "nothing is known"
    for moment, written in ((1, 100), (2, 100), (3, 250), (4, 400)):
        progress.note(moment, written)
    assert [progress.lag(replayed) for replayed in (400, 500, 399, 250, 100, 99)] == [0, 0, 1, 1, 2, inf]


def test_while_the_primary_is_away_replicas_grow_no_older() -> None:
    progress = Progress()
    progress.note(1, 100)
    progress.note(2, 200)
    assert progress.lag(100) == 1, "whatever the time is now"


def test_another_primary_that_has_written_less_begins_anew() -> None:
    progress = Progress()
    progress.note(1, 900)
    progress.note(2, 800)
    assert progress.lag(850) == 0
    assert progress.lag(799) == inf


async def test_who_has_written_is_forgotten_after_a_while() -> None:
    ann, bob = uuid7(), uuid7()
    lasting, short = Writers(60), Writers(0)
    for writers in (lasting, short):
        writers.note(ann)
    assert [lasting.need_primary(user, ()) for user in (ann, bob, None)] == [True, False, False]
    assert not short.need_primary(ann, ())
    short.note(bob)
    assert len(short) == 1, "those before are gone"


async def test_a_token_is_enough_unless_something_else_was_written_since() -> None:
    ann, old, new = uuid7(), uuid7(), uuid7()
    writers = Writers(60)
    writers.note(ann)  # on another machine
    assert [writers.need_primary(ann, tokens) for tokens in ((), (old,))] == [True, False]
    writers.note(ann, new)
    assert [writers.need_primary(ann, tokens) for tokens in ((), (old,), (old, new))] == [True, True, False]
    writers.note(ann)  # the event of the same, most likely
    assert [writers.need_primary(ann, tokens) for tokens in ((old,), (new,))] == [True, False]
