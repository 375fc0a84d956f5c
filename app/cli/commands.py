"""The command line: `python -m app`."""

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import structlog
import typer
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli import databases, serving
from app.cli.databases import database, requires_tools
from app.cli.output import Mark, fail, print_finding, print_line, progress_bars, say
from app.db import server_settings
from app.errors import Conflict, InvalidInput
from app.monitoring.workers import figures_shared
from app.process import garbage
from app.process import supervisor as processes
from app.process.logging import configure_logging, logs_json
from app.settings import InvalidSettings, Settings, load_settings

log = structlog.get_logger(__name__)

cli = typer.Typer(
    help="Serve the Orders API and manage its database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_PASSWORD = typer.Option(
    prompt=True, hide_input=True, confirmation_prompt=True, envvar="SUPERUSER_PASSWORD", help="Password."
)
# Imports within commands keep the others fast: the schema takes 0.3 s to build, each of the rest 0.1 s to load.


@cli.callback()
def configure(context: typer.Context) -> None:
    """Read the settings first; an invalid one ends every command except `doctor`."""
    if context.invoked_subcommand == "doctor":
        return
    try:
        context.obj = load_settings()
    except InvalidSettings as error:
        fail(str(error), code=2)
    configure_logging(context.obj)


@cli.command()
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on [HOST].")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on [PORT].")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Number of processes [WORKERS].")] = None,
    migrate: Annotated[bool, typer.Option("--migrate", help="Run the migrations first.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Fill an empty database with the demo shop first.")] = False,
    with_parent: Annotated[
        bool, typer.Option("--end-with-parent", help="Stop when the process that started this one has ended.")
    ] = False,
) -> None:
    """Serve the API until a signal stops it. Without DATABASE_URL it uses an embedded Postgres."""
    settings: Settings = context.obj
    processes.exit_on_termination()
    if with_parent:
        processes.end_with_parent(os.getppid())
    host, port, workers = host or settings.host, settings.port if port is None else port, workers or settings.workers
    serving.require_secrets(settings, host, demo=demo)
    serving.require_free_port(host, port)
    announce = log.info if logs_json(settings) else say
    serving.allow_connections(settings, log.warning if logs_json(settings) else say)
    with database(settings, announce) as direct_url:
        url = settings.database_url or direct_url
        serving.require_suitable_pooler(settings, url, announce)
        if migrate:
            databases.migrate(direct_url, announce)
        elif not logs_json(settings):
            serving.warn_if_not_ready(url)
        if demo:
            serving.open_demo_shop(direct_url, announce)
        serving.require_no_demo_accounts(settings, host, direct_url)
        # The server reads this, in its own process or in each of its workers.
        os.environ["DATABASE_URL"] = url
        if logs_json(settings):
            log.info("serving", host=host, port=port, workers=workers)
            if serving.shares_one_address(settings, host):
                advice = "TRUSTED_PROXIES=127.0.0.1"
                log.warning("TRUSTED_PROXIES is empty", effect=serving.SHARED_ADDRESS, advice=advice)
        else:
            serving.greet(settings, host, port, demo=demo)
        garbage.collect_seldom()
        with figures_shared(workers):
            processes.serve(serving.configured(settings, host, port, workers), settings.shutdown_drain_seconds)


@cli.command()
def migrate(context: typer.Context) -> None:
    """Migrate the database to the schema of this version."""
    with database(context.obj) as url:
        databases.migrate(url)
    say("The database is up to date.")


@cli.command()
def prune(context: typer.Context) -> None:
    """Delete what is old, and add and drop partitions. The server does the same, within the rights of its role."""
    with database(context.obj) as url:
        databases.prune(url, context.obj)


@cli.command()
def migration(
    context: typer.Context, message: Annotated[str, typer.Argument(help="What the migration does, in a few words.")]
) -> None:
    """Write a migration for the changes to the models since the last one."""
    if not any(character.isalnum() for character in message):
        fail('Describe what the migration does: make migration m="add colors"', code=2)
    from app.db import migrations

    with database(context.obj) as url:
        databases.migrate(url)
        files = migrations.write(url, message)
    say(f"Review before you commit: {', '.join(map(str, files))}")


@cli.command()
def seed(
    context: typer.Context,
    stores: Annotated[int, typer.Option(min=1, help="Number of stores in bulk data.")] = 200,
    products: Annotated[int, typer.Option(min=0, help="Number of products; 0 creates the small demo shop.")] = 0,
    orders: Annotated[int, typer.Option(min=0, help="Number of orders in bulk data.")] = 0,
    seed: Annotated[int, typer.Option(help="Random seed; the same number creates the same bulk data.")] = 1,
) -> None:
    """Fill an empty database with a small demo shop, or with bulk data for benchmarks."""
    if orders and not products:
        fail("--orders needs --products: orders consist of products. Without both, the demo shop is created.", code=2)
    if (reason := context.obj.why_public()) is not None:
        fail(f"{reason}, and {serving.PUBLIC_PASSWORD}. Seed a database on this machine, for this machine.", code=2)
    with requires_tools("Seed data"):
        from tools.bulk import Size, seed_bulk
        from tools.demo import seed_demo
        from tools.seeding import NotEmpty
    with database(context.obj) as url:
        databases.migrate(url)
        try:
            if products:
                size = Size(stores, products, orders)
                with progress_bars() as show:
                    counts = databases.run(url, lambda engine: seed_bulk(engine, size, seed, show))
                say(f"{counts}.")
            else:
                say(f"Created the demo shop: {databases.run(url, seed_demo)}.")
        except NotEmpty:
            fail("The database is not empty; nothing was added. Point DATABASE_URL at an empty one.")


@cli.command()
def schema(
    output: Annotated[Path | None, typer.Option(help="File to write instead of standard output.")] = None,
) -> None:
    """Print the GraphQL schema, from which client teams generate code."""
    from app.graphql.schema import schema_sdl

    if output is None:
        typer.echo(schema_sdl(), nl=False)
    else:
        output.write_text(schema_sdl(), encoding="utf-8")


@cli.command()
def create_superuser(
    context: typer.Context,
    email: Annotated[str, typer.Option(prompt=True, help="Email address to log in with.")],
    full_name: Annotated[str, typer.Option(prompt=True, help="Name of the person.")],
    password: Annotated[str, _PASSWORD],
) -> None:
    """Create an account with every permission."""
    from app.db.engine import Database
    from app.db.unit_of_work import UnitOfWork
    from app.security.passwords import hash_password
    from app.users.inputs import SignUpInput
    from app.users.service import create_user

    account = {"email": email, "fullName": full_name, "password": password}

    async def create(engine: AsyncEngine) -> None:
        new, work = SignUpInput.check(account), UnitOfWork(Database(engine))
        try:
            await work.begin()
            await create_user(work, new, await hash_password(new.password), is_superuser=True)
            await work.finish(commit=True)
        finally:
            await work.close()

    with database(context.obj) as url:
        databases.migrate(url)
        try:
            databases.run(url, create)
        except InvalidInput as error:
            fail("\n".join(f"{'.'.join(issue.path)} {issue.message}" for issue in error.issues))
        except Conflict as error:
            fail(error.message)
    say(f"{email} is now a superuser.")


@cli.command()
def settings(context: typer.Context) -> None:
    """Print the settings in effect, with secrets masked."""
    for name, value in context.obj:
        if name in ("database_url", "database_direct_url") and value is not None:
            value = make_url(value).render_as_string(hide_password=True)
        typer.echo(f"{name.upper()}={'' if value is None else value}")


@cli.command()
def role_settings(context: typer.Context) -> None:
    """Print the SQL that gives the role the API's timeouts, which connections behind a pooler need."""
    url = make_url(context.obj.database_url or "postgresql://")
    for command in server_settings.alter_role(url, server_settings.role_settings(context.obj)):
        typer.echo(command)


@cli.command()
def doctor() -> None:
    """Check everything the API needs, change nothing, and say how to fix each problem."""
    from app.cli.doctor import examine

    async def marks() -> Counter[Mark]:
        found = Counter[Mark]()
        async for finding in examine():
            print_finding(finding)
            found[finding.mark] += 1
        return found

    found = asyncio.run(marks())
    if problems := found[Mark.PROBLEM]:
        print_line(f"\nProblems to fix: {problems}.")
        raise typer.Exit(1)
    warnings = found[Mark.WARNING]
    and_warnings = f", {warnings} warning{'s' * (warnings > 1)}" if warnings else ""
    print_line(f"\nNo problems found{and_warnings}.")


def main() -> None:
    """Run a command. Explain in one line what is wrong around it."""
    try:
        cli(prog_name="python -m app")
    except Exception as failure:
        from app.cli.troubles import trouble_of

        trouble = trouble_of(failure, load_settings().database_url)
        if trouble is None:
            raise
        say(str(trouble))
        sys.exit(1)
