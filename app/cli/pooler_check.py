"""Checks that the API can work behind the pooler of its database, if there is one."""

from sqlalchemy import make_url

from app.cli.output import Finding, ok, problem
from app.cli.troubles import place_of
from app.db.poolers import Pooling, UnsupportedParameters, pooling_between, settings_missing
from app.db.server_settings import alter_role
from app.settings import Settings

KEEP_APART = "Set max_prepared_statements = 200 in PgBouncer 1.21 or newer, or pool_mode = session."
_SET_DIRECT = "Set DATABASE_DIRECT_URL to the URL of Postgres itself: events and migrations need a session."


async def pooler_finding(settings: Settings, url: str) -> Finding:
    """Return what is between the API and the database at `url`: a problem if the API cannot work with it."""
    place, pooling = place_of(make_url(url)), await pooling_between(make_url(url))
    if pooling is Pooling.STATEMENT:
        return problem(f"at {place} is {pooling.value}, so there are no transactions", "Set pool_mode = transaction.")
    if not pooling.is_safe:
        return problem(f"at {place} is {pooling.value}, so clients get each other's answers", KEEP_APART)
    if settings.database_direct_url is None and not pooling.has_sessions:
        return problem(f"DATABASE_DIRECT_URL is missing, as at {place} is {pooling.value}", _SET_DIRECT)
    if settings.database_direct_url is not None:
        direct = make_url(settings.database_direct_url)
        if not (between := await pooling_between(direct)).has_sessions:
            return problem(f"DATABASE_DIRECT_URL leads to {between.value}", _SET_DIRECT)
    elif pooling is Pooling.NONE:  # connections get what they ask for
        return ok("no pooler is between the API and Postgres")
    return await _role(settings, url, pooling)


async def _role(settings: Settings, url: str, pooling: Pooling) -> Finding:
    """Check that statements have their timeouts, which the API cannot set through a pooler."""
    try:
        missing = await settings_missing(make_url(url), settings)
    except UnsupportedParameters as refused:
        remedy = (
            "Set DATABASE_DIRECT_URL to the URL of Postgres itself, and the API will ask the pooler for no settings."
        )
        return problem(f"the pooler at {place_of(make_url(url))} refuses a connection: {refused}", remedy)
    if missing:
        differences = ", ".join(f"{name} is {found}, not {wanted}" for name, (found, wanted) in missing.items())
        commands = " ".join(alter_role(make_url(url), {name: wanted for name, (_, wanted) in missing.items()}))
        return problem(
            f"at {place_of(make_url(url))}, {differences}",
            f"Run `{commands}`, and have the pooler connect again, with RECONNECT in PgBouncer.",
        )
    return ok(f"pooler: {pooling.value}, and timeouts hold")
