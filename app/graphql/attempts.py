"""Attempts: fields of mutations that try a password or a token, or show whether an email address has an account.

A request may have one. It is counted, and passwords are hashed, before the mutation's transaction begins: hashing takes
long, and meanwhile the request holds neither a connection nor a lock."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.clients import site
from app.errors import BadUserInput, DomainError, Overloaded
from app.graphql.context import Context
from app.graphql.inputs import Given

_MOST_OF_SITE = 20
_prepared: Counter[str] = Counter()
"""The attempts that are being prepared, by the sites that they come from."""


async def _nothing(_: Context, __: Any) -> None:
    """Prepare nothing: looking up a token takes no time."""


@dataclass(frozen=True)
class Attempt:
    """When a field is an attempt, and what it prepares."""

    prepare: Callable[[Context, Any], Awaitable[Any]] = _nothing
    """Returns what the resolver finds in `context.prepared`."""
    fields: frozenset[str] = frozenset()
    """The field is an attempt if its input has any of these fields; without any here, always."""

    def is_made_with(self, values: Mapping[str, Any]) -> bool:
        """Return whether a field with these values of its input is an attempt."""
        return not self.fields or not self.fields.isdisjoint(values)


@contextmanager
def _turn(site: str) -> Iterator[None]:
    """Count an attempt from a site while it is prepared; Overloaded if too many are: one customer must not keep the
    others from logging in, whose passwords are hashed one after the other."""
    if _prepared[site] >= _MOST_OF_SITE:
        raise Overloaded
    _prepared[site] += 1
    try:
        yield
    finally:
        _prepared[site] -= 1
        if not _prepared[site]:
            del _prepared[site]


async def prepare(context: Context, key: str, attempt: Attempt, input: Given) -> None:
    """Count the attempt of a request, once however often the operation is tried, and prepare it for the field with this
    key."""
    try:
        if not context.is_attempt_counted:
            context.is_attempt_counted = True
            await context.services.rate_limits.attempt(context.request.address)
        with _turn(site(context.request.address)):
            context.preparations[key] = await attempt.prepare(context, input.deferred())
    except (DomainError, BadUserInput):
        pass  # The input is invalid. Its field says so, unless it must say something else first.
    except Exception as failure:
        context.preparations[key] = failure
