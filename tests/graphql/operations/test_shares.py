"""Which shares of the connection pool an operation counts in."""

from uuid import UUID

from app.graphql.operations.cost import Cost
from app.graphql.operations.shares import EXPENSIVE, LOOKING, Shares
from app.security.viewer import Viewer

ADA, BOB = Viewer(id=UUID(int=1)), Viewer(id=UUID(int=2))


def most(shares: Shares, viewer: Viewer | None, points: int, *, writes: bool = False) -> list[int]:
    """Return how many connections each share of an operation has, in their order."""
    return sorted(share.most for share in shares.of(viewer, "192.0.2.1", Cost(points), writes=writes))


def test_who_is_logged_in_and_reads_a_page_may_use_every_connection() -> None:
    assert most(Shares(16, expensive=4), ADA, EXPENSIVE - 1) == []


def test_others_share_what_they_may_use() -> None:
    shares = Shares(16, expensive=4)

    assert most(shares, None, 1) == [12]
    assert most(shares, ADA, 1, writes=True) == [8, 12]
    assert most(shares, None, 1, writes=True) == [8, 12, 12]
    assert most(shares, ADA, EXPENSIVE) == [2, 4]
    assert most(shares, None, EXPENSIVE) == [2, 2, 4, 12]


def test_each_client_has_its_own_share_while_it_is_used() -> None:
    shares = Shares(16, expensive=4)
    (all_, ada), (_, again), (others, bob) = (shares.of(viewer, "", Cost(1), writes=True) for viewer in (ADA, ADA, BOB))

    assert all_ is others
    assert ada is again is not bob
    assert len(shares._of_clients) == 2
    del ada, again, bob
    assert len(shares._of_clients) == 0


def test_a_small_pool_has_a_connection_for_everyone() -> None:
    assert most(Shares(1, expensive=4), None, EXPENSIVE) == [1, 1, 2, 2]


def test_to_look_through_lists_is_expensive() -> None:
    shares = Shares(16, expensive=4)

    looking, reading = (
        {share.most for share in shares.of(ADA, "", cost, writes=False)}
        for cost in (Cost(points=LOOKING, looks=LOOKING), Cost(points=LOOKING, reads=LOOKING))
    )

    assert looking == {2, 4}
    assert reading == set()
