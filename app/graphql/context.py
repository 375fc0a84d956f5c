"""What a resolver finds in `info.context`: the viewer, the unit of work and its dataloaders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import strawberry
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import UnitOfWork
from app.errors import Unauthenticated
from app.security.tokens import AccessTokens
from app.security.viewer import Viewer
from app.settings import Settings

if TYPE_CHECKING:
    from app.graphql.loaders import Loaders


@dataclass
class Context:
    """One operation: who asks, and what it works with."""

    work: UnitOfWork
    settings: Settings
    access_tokens: AccessTokens
    request_id: str
    viewer: Viewer | None = None
    refused_token: Unauthenticated | None = None
    _session: AsyncSession | None = None
    _claimed_viewer: Viewer | None = None

    @cached_property
    def loaders(self) -> Loaders:
        """The dataloaders of this query, or of the mutation's field that runs now."""
        from app.graphql.loaders import Loaders  # the loaders make types, and types name this context

        return Loaders(self.work, self.viewer)

    @property
    def session(self) -> AsyncSession:
        """The session of the mutation's field that runs now."""
        if self._session is None:
            raise RuntimeError("only a mutation has a session")
        return self._session

    async def begin_mutation(self, session: AsyncSession) -> None:
        """Begin a root field of a mutation: it must not see what the one before it has read."""
        if self._session is None:
            self._claimed_viewer = self.viewer
        self._session = session
        self.act_as(None)
        if self._claimed_viewer is not None:
            self.act_as(await self._confirmed(self._claimed_viewer))

    def act_as(self, viewer: Viewer | None) -> None:
        """Answer what follows of this root field as this viewer may see it."""
        self.viewer = viewer
        self.__dict__.pop("loaders", None)

    async def _confirmed(self, viewer: Viewer) -> Viewer | None:
        """Ask the database who the viewer is now: a token outlives the account and its rights by minutes, and the
        field before may have closed the account."""
        user = await self.loaders.account.load(viewer.id)
        if user is None:
            self.refused_token = Unauthenticated("The account no longer exists.")
            return None
        return Viewer(id=viewer.id, is_superuser=user.is_superuser)

    def known_viewer(self) -> Viewer:
        """Return the viewer; Unauthenticated, with the token's fault if it had one, where there is none."""
        if self.viewer is None:
            raise self.refused_token or Unauthenticated("You must be logged in for this.")
        return self.viewer


Info = strawberry.Info[Context, None]
