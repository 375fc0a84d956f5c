"""What a resolver finds in `info.context`: the viewer, the unit of work and its dataloaders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import strawberry
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import Receive

from app.db.engine import Database
from app.db.notifications import Topic
from app.db.unit_of_work import UnitOfWork
from app.errors import NO_ACCOUNT, Unauthenticated
from app.graphql.operations.cancellation import Watch
from app.graphql.relations.loaders import Loaders
from app.idempotency.service import IdempotentRequest, Replay
from app.monitoring.monitor import Monitor
from app.monitoring.operation_log import Report
from app.security.passwords import Turns
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer, logged_in
from app.settings import Settings
from app.users import repository as users

if TYPE_CHECKING:
    from app.graphql.compiled.path import CompiledPath
    from app.graphql.operations.documents import Documents
    from app.graphql.operations.rate_limits import RateLimits
    from app.graphql.subscriptions.manager import Following, Live

T = TypeVar("T")


@dataclass(kw_only=True)
class Context:
    """One operation: who asks, and what it works with."""

    database: Database
    settings: Settings
    access_tokens: AccessTokens
    password_turns: Turns
    watch: Watch
    documents: Documents
    rates: RateLimits
    monitor: Monitor
    compiled: CompiledPath | None
    """Reads what a mutation returns."""
    live: Live | None
    """The subscriptions of this process."""
    request_id: str
    address: str
    """Where the request comes from."""
    token_viewer: Viewer | None
    refused_token: Unauthenticated | None
    token_expires_at: float | None
    explained: Report | None
    """What the response is to explain, if it is."""
    idempotent_request: IdempotentRequest | None = None
    cost: int | None = None
    """What the operation costs, in points, once that is known."""
    following: Following | None = None
    """What this operation follows, once it is a subscription."""
    receive: Receive | None = None
    """Tells where the client has hung up."""

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin the operation, or begin it anew."""
        self.work = UnitOfWork(self.database)
        self.act_as(self.token_viewer)

    @cached_property
    def loaders(self) -> Loaders:
        """The dataloaders of this query, or of the mutation's field that runs now."""
        return Loaders(self.work, self.viewer)

    @property
    def actor_id(self) -> UUID | None:
        """Who is acting, for the audit trail."""
        return self.viewer.id if self.viewer else None

    @property
    def session(self) -> AsyncSession:
        """The session of a mutation."""
        return self.work.session

    async def begin_mutation(self) -> None:
        """Begin the transaction of a mutation, if it has not been; Replay where the request has been made before."""
        if self.work.writes:
            return
        await self.work.begin()
        if self.idempotent_request is not None:
            response = await self.idempotent_request.claim(self.session)
            if response is not None:
                raise Replay(response)
            await self.work.end_session(commit=True)

    async def begin_field(self, *, confirm: bool = True) -> None:
        """Begin a root field of a mutation: it must not see what the one before it has read. Without `confirm` the
        viewer is who the token says, and the field asks the database itself, as `_confirmed` would."""
        viewer = self.token_viewer
        self.act_as(None if confirm else viewer)
        if confirm and viewer is not None:
            self.act_as(await self._confirmed(viewer))

    def extensions(self) -> dict[str, Any] | None:
        """Return what the response tells of the operation beside its data; an event of a subscription, nothing."""
        if self.following is not None or self.cost is None:
            return None
        return {"cost": self.documents.told(self.cost)}

    async def take_points(self, points: int) -> None:
        """Take the cost of the operation from who asks; RateLimited where there are not as many left."""
        await self.rates.take(points, self.token_viewer, self.address)

    async def count_attempt(self) -> None:
        """Count an attempt to log in or sign up; RateLimited where there were too many."""
        await self.rates.attempt(self.address)

    def act_as(self, viewer: Viewer | None) -> None:
        """Answer what follows of this root field as this viewer may see it."""
        self.viewer = viewer
        self.__dict__.pop("loaders", None)

    async def _confirmed(self, viewer: Viewer) -> Viewer | None:
        """Ask the database who the viewer is now: a token outlives the account and its rights by minutes, and the
        field before may have closed the account."""
        confirmed = await users.confirmed(self.work, viewer)
        if confirmed is None:
            self.refused_token = Unauthenticated(NO_ACCOUNT)
        return confirmed

    @property
    def is_following(self) -> bool:
        """Whether the operation is a subscription that has begun."""
        return self.following is not None and self.following.has_begun

    def follow(self, topic: Topic, *, has_state: bool) -> UUID | None:
        """Let the subscription follow the topic, and return what the event that is to be told is about."""
        assert self.following is not None, "the operation is a subscription"
        return self.following.follow(topic, has_state=has_state)

    def known_viewer(self) -> Viewer:
        """Return the viewer; Unauthenticated, with the token's fault if it had one, where there is none."""
        self.refuse_token()
        return logged_in(self.viewer)

    def seen(self, found: T | None) -> T | None:
        """Return what was found; Unauthenticated, rather than nothing, where the token is no good."""
        if found is None:
            self.refuse_token()
        return found

    def refuse_token(self) -> None:
        """Raise Unauthenticated where there is a token that is no good: with a good one there may be more to see."""
        if self.viewer is None and self.refused_token is not None:
            raise self.refused_token


Info = strawberry.Info[Context, None]
