"""What a resolver finds in `info.context`: the viewer, the unit of work and its dataloaders."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

import strawberry

from app.clients import Client
from app.db.engine import Database
from app.db.unit_of_work import UnitOfWork
from app.errors import SESSION_ENDED, Unauthenticated
from app.events.catalog import Topic
from app.graphql.operations.documents import OperationRequest, RequestedOperation
from app.graphql.relations.loaders import Loaders
from app.idempotency.service import IdempotentRequest, Replay
from app.security.tokens import Login
from app.security.viewer import Viewer, logged_in
from app.users import repository as users

if TYPE_CHECKING:
    from app.graphql.operations.services import Services
    from app.graphql.subscriptions.manager import Following


_BYTES_AROUND = 1_000  # the data of a response: its cost, and its braces


@dataclass(frozen=True)
class Outcome:
    """What the root field of a mutation has returned or raised, which is still to be shown."""

    returned: Any = None
    raised: Exception | None = None

    def value(self) -> Any:
        """Return or raise it."""
        if self.raised is not None:
            raise self.raised
        return self.returned


class Context:
    """One operation on the resolver path: who asks, and what it works with."""

    def __init__(
        self, services: Services, login: Login, request: OperationRequest, operation: RequestedOperation
    ) -> None:
        self.services = services
        self.login = login
        self.request = request
        assert operation.parsed is not None, "it is valid"
        assert operation.variables is not None, "they are, too"
        self.operation = operation.parsed
        self.variables = operation.variables
        self._most_bytes = operation.cost.bytes if operation.cost else 0
        self.following: Following | None = None
        """What this operation follows, once it is a subscription."""
        self.is_attempt_counted = False
        """Whether this operation has been counted as an attempt, which it is once, however often it is tried."""
        self.begin()

    def begin(self, database: Database | None = None) -> None:
        """Begin the operation, or begin it again, in this database, or the primary."""
        self.work = UnitOfWork(database or self.services.database)
        self.idempotent_request = self._idempotent_request()
        self.unclaimed: Exception | None = None
        """Why the request could not claim its idempotency key."""
        self.preparations: dict[str | int, Any] = {}
        """What was prepared before the transaction began, or why it could not be, by the key of the root field."""
        self.outcome: Outcome | None = None
        """What became of the one root field of a mutation, if it has run."""
        self.act_as(self.login.viewer)

    def _idempotent_request(self) -> IdempotentRequest | None:
        """Return the request as its idempotency key makes it, if it has one."""
        request, viewer = self.request, self.login.viewer
        if request.idempotency_key is None:
            return None
        return IdempotentRequest(
            request.idempotency_key,
            None if viewer is None else viewer.id,
            tuple(request.document),
            self.services.idempotency_secrets,
            self.services.settings.idempotent_response_limit_kb * 1024,
        )

    @cached_property
    def loaders(self) -> Loaders:
        """The dataloaders of this query, or of the mutation's field that runs now."""
        return Loaders(self.work, self.viewer)

    @property
    def actor_id(self) -> UUID | None:
        """Who is acting, for the audit trail."""
        return self.viewer.id if self.viewer else None

    @property
    def claimed_in_statement(self) -> IdempotentRequest | None:
        """The request, if its one statement claims its idempotency key: otherwise the transaction does, or there is
        none."""
        return self.idempotent_request if self.work.is_one_statement else None

    def in_turn(self, viewer: Viewer | None) -> AbstractAsyncContextManager[None]:
        """Wait for this viewer's turn to compile something."""
        return self.services.documents.turn(Client.of(viewer, self.request.address))

    def acting(self) -> tuple[UnitOfWork, Viewer]:
        """Return what a mutation works with, and its viewer; Unauthenticated if nobody is logged in."""
        return self.work, logged_in(self.viewer)

    def prepared(self, key: str | int) -> Any:
        """Return what was prepared for a root field, None if nothing was; raise why it could not be."""
        found = self.preparations.get(key)
        if isinstance(found, Exception):
            raise found
        return found

    async def begin_mutation(self) -> None:
        """Begin the transaction of a mutation unless it has begun. Raise why none of its fields runs: Replay if the
        request was made before, or what kept it from claiming its key."""
        if self.unclaimed is not None:
            raise self.unclaimed
        if self.work.writes:
            return
        await self.work.begin()
        if self.idempotent_request is not None:
            try:
                response = await self.idempotent_request.claim(self.work)
                if response is not None:
                    raise Replay(response)
            except Exception as reason:
                self.unclaimed = reason
                raise

    @property
    def may_be_one_statement(self) -> bool:
        """Whether a mutation of one statement needs no transaction: not if its response could be too large to be kept
        with an idempotency key, as the mutation must not be done then."""
        request = self.idempotent_request
        return request is None or self._most_bytes + _BYTES_AROUND <= request.response_limit

    async def begin_field(self, *, confirm: bool = True) -> None:
        """Begin a root field of a mutation, which must not see what an earlier field has read.

        The database says who the viewer is now: a token outlives its session, the account and its rights by minutes,
        and an earlier field may have closed the account. Unauthenticated if the session has ended. Without `confirm`
        the field itself asks."""
        viewer = self.login.viewer
        if confirm and viewer is not None:
            viewer = await users.confirmed(self.work, viewer.id, self.login.session_id)
            if viewer is None:
                raise Unauthenticated(SESSION_ENDED)
        self.act_as(viewer)

    def act_as(self, viewer: Viewer | None) -> None:
        """Resolve the rest of this root field for this viewer."""
        self.viewer = viewer
        self.forget_loaded()

    def forget_loaded(self) -> None:
        """Drop the dataloaders with all that they have loaded. A subscription would keep it until its next event."""
        self.__dict__.pop("loaders", None)

    def follow(self, topic: Topic, *, has_state: bool) -> UUID | None:
        """Follow the topic from now on, and return the subject of the current event."""
        assert self.following is not None, "the operation is a subscription"
        return self.following.follow(topic, has_state=has_state)


Info = strawberry.Info[Context, None]
