"""The command line: `python -m app`."""

import asyncio
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import structlog
import typer
import uvicorn
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from app.db.engine import wait_for_database
from app.errors import Conflict, InvalidInput
from app.monitoring.workers import figures_shared
from app.process import supervisor as processes
from app.process.logging import configure_logging, logs_json
from app.process.protocol import Protocol, why_not_listen
from app.process.readiness import why_not_ready
from app.settings import EMBEDDED_POSTGRES, InvalidSettings, Settings, load_settings
from tools.seeding import NotEmpty

T = TypeVar("T")
Announce = Callable[[str], None]

log = structlog.get_logger(__name__)

cli = typer.Typer(
    help="Serve the Orders API and look after its database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@cli.callback()
def configure(context: typer.Context) -> None:
    """Read the settings before anything else; the first wrong one ends the command, but for the doctor's."""
    if context.invoked_subcommand == "doctor":
        return
    try:
        context.obj = load_settings()
    except InvalidSettings as error:
        _fail(str(error), code=2)
    configure_logging(context.obj)


@cli.command()
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="The address to listen on [HOST].")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port to listen on [PORT].")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="How many processes [WORKERS].")] = None,
    migrate: Annotated[bool, typer.Option("--migrate", help="Run the migrations first.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Fill an empty database with the demo shop first.")] = False,
    with_parent: Annotated[
        bool, typer.Option("--end-with-parent", help="End when the process that started this one has ended.")
    ] = False,
) -> None:
    """Serve the API until a signal ends it. Without DATABASE_URL, on an embedded Postgres."""
    settings: Settings = context.obj
    processes.exit_on_termination()
    if with_parent:
        processes.end_with_parent(os.getppid())
    host, port, workers = host or settings.host, settings.port if port is None else port, workers or settings.workers
    _require_free_port(host, port)
    announce = log.info if logs_json(settings) else _say
    with _database(settings, announce) as url:
        if migrate:
            _migrate(url, announce)
        elif not logs_json(settings):
            _tell_what_is_lacking(url)
        if demo:
            with suppress(NotEmpty):
                announce(f"The demo shop is open: {_run(url, _fill_with_demo)}.")
        # What the server reads in its own process, or in each of its workers.
        os.environ["DATABASE_URL"] = url
        if logs_json(settings):
            log.info("serving", host=host, port=port, workers=workers)
        else:
            _greet(settings, host, port, demo=demo)
        processes.collect_seldom()
        with figures_shared(workers):
            processes.serve(_configured(settings, host, port, workers))


@cli.command()
def migrate(context: typer.Context) -> None:
    """Bring the database to the schema that this version expects."""
    with _database(context.obj) as url:
        _migrate(url)
    _say("The database is up to date.")


@cli.command()
def migration(
    context: typer.Context, message: Annotated[str, typer.Argument(help="What it does, in a few words.")]
) -> None:
    """Write a migration for what changed in the models since the last one."""
    if not any(character.isalnum() for character in message):
        _fail('Say what the migration does: make migration m="add colours"', code=2)
    from app.db import migrations

    with _database(context.obj) as url:
        _migrate(url)
        _say(f"Read it before you commit it: {migrations.write(url, message)}")


@cli.command()
def seed(
    context: typer.Context,
    stores: Annotated[int, typer.Option(min=1, help="How many stores, for bulk data.")] = 200,
    products: Annotated[int, typer.Option(min=0, help="How many products; 0: the small demo shop.")] = 0,
    orders: Annotated[int, typer.Option(min=0, help="How many orders, for bulk data.")] = 0,
    seed: Annotated[int, typer.Option(help="The same number makes the same bulk data.")] = 1,
) -> None:
    """Fill an empty database with a small demo shop, or with bulk data for benchmarks."""
    if orders and not products:
        _fail("Orders are of products: say how many with --products. Without it the demo shop is made.", code=2)
    with _database(context.obj) as url:
        _migrate(url)
        try:
            if products:
                _run(url, lambda engine: _fill_with_bulk(engine, stores, products, orders, seed))
            else:
                _say(f"The demo shop is open: {_run(url, _fill_with_demo)}.")
        except NotEmpty:
            _fail("The database is not empty: nothing was added. Let DATABASE_URL name an empty one.")


@cli.command()
def schema(
    output: Annotated[Path | None, typer.Option(help="The file to write; standard output without it.")] = None,
) -> None:
    """Print the GraphQL schema, as client teams generate code from it."""
    from app.graphql.schema import schema_sdl  # takes a moment to build, which other commands need not wait for

    if output is None:
        typer.echo(schema_sdl(), nl=False)
    else:
        output.write_text(schema_sdl(), encoding="utf-8")


@cli.command()
def create_superuser(
    context: typer.Context,
    email: Annotated[str, typer.Option(prompt=True, help="The email address to log in with.")],
    full_name: Annotated[str, typer.Option(prompt=True, help="The name of the person.")],
    password: Annotated[
        str,
        typer.Option(
            prompt=True, hide_input=True, confirmation_prompt=True, envvar="SUPERUSER_PASSWORD", help="The password."
        ),
    ],
) -> None:
    """Create an account that may do everything."""
    from app.users.inputs import SignUpInput
    from app.users.service import create_user

    account = {"email": email, "fullName": full_name, "password": password}

    async def create(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session, session.begin():
            await create_user(session, SignUpInput.check(account), is_superuser=True)

    with _database(context.obj) as url:
        _migrate(url)
        try:
            _run(url, create)
        except InvalidInput as error:
            _fail("\n".join(f"{'.'.join(issue.path)} {issue.message}" for issue in error.issues))
        except Conflict as error:
            _fail(error.message)
    _say(f"{email} may do everything now.")


@cli.command()
def settings(context: typer.Context) -> None:
    """Print the settings in force, secrets masked."""
    for name, value in context.obj:
        if name == "database_url" and value is not None:
            value = make_url(value).render_as_string(hide_password=True)
        typer.echo(f"{name.upper()}={'' if value is None else value}")


@cli.command()
def doctor() -> None:
    """Check all that the API needs, change nothing, and say how to mend what is wrong."""
    from app.cli.doctor import examine
    from app.cli.findings import Finding, Mark

    colours = {Mark.FINE: "green", Mark.MIND: "yellow", Mark.MEND: "red", Mark.SKIPPED: None}
    is_unicode = (sys.stdout.encoding or "").lower() in ("utf-8", "utf8")

    def print_line(line: str) -> None:
        typer.echo(line if is_unicode else line.encode("ascii", "replace").decode())

    def tell(finding: Finding) -> None:
        mark = finding.mark.value[0 if is_unicode else 1]
        print_line(f"{typer.style(f'{mark:<2}', fg=colours[finding.mark])} {finding.what}")
        if finding.remedy:
            print_line(f"   -> {finding.remedy}")

    async def number_to_mend() -> int:
        number = 0
        async for finding in examine():
            tell(finding)
            number += finding.mark is Mark.MEND
        return number

    number = asyncio.run(number_to_mend())
    if number:
        print_line(f"\nTo be mended: {number}.")
        raise typer.Exit(1)
    print_line("\nNothing must be mended.")


def _say(message: str) -> None:
    typer.echo(message, err=True)


def _fail(message: str, code: int = 1) -> None:
    _say(message)
    raise typer.Exit(code)


@contextmanager
def _database(settings: Settings, announce: Announce = _say) -> Iterator[str]:
    """Yield the URL of a database that answers: the one that is set, or an embedded one."""
    if settings.database_url is None:
        # For development; an image for production lacks it.
        from tools.postgres import PostgresUnavailable, embedded_postgres

        with ExitStack() as running:
            try:
                url = running.enter_context(embedded_postgres(EMBEDDED_POSTGRES))
            except PostgresUnavailable as failure:
                _fail(str(failure))
            yield url
    else:
        asyncio.run(wait_for_database(settings.database_url, settings.database_start_wait_seconds, announce))
        yield settings.database_url


def _migrate(url: str, announce: Announce = _say) -> None:
    """Run the migrations."""
    from app.db import migrations  # Alembic takes a moment to load, which serving need not wait for

    try:
        migrations.migrate(url, announce)
    except migrations.TablesInUse:
        _fail("A table was in use for too long, so not all migrations ran. Run this command again at a quieter time.")


def _tell_what_is_lacking(url: str) -> None:
    reason = asyncio.run(why_not_ready(make_url(url)))
    if reason is not None:
        _say(f"Not ready: {reason}. `python -m app migrate` or `serve --migrate` mends that.")


def _run(url: str, work: Any) -> Any:
    """Run an async function on an engine of its own."""

    async def run() -> Any:
        engine = create_async_engine(url)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    return asyncio.run(run())


async def _fill_with_demo(engine: AsyncEngine) -> Any:
    from tools import demo

    return await demo.seed_demo(engine)


async def _fill_with_bulk(engine: AsyncEngine, stores: int, products: int, orders: int, seed: int) -> None:
    from rich.progress import MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn

    from tools import bulk

    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn()) as progress:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        counts = await bulk.seed_bulk(engine, bulk.Size(stores, products, orders), seed, show)
    _say(f"{counts}.")


def _configured(settings: Settings, host: str, port: int, workers: int) -> uvicorn.Config:
    return uvicorn.Config(
        "app.main:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        http=Protocol,
        access_log=False,
        log_config=None,  # its loggers are configured as all others are
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_seconds,
        # On a busy machine a worker is not imported after 5 s; one that dies while asked is missed for as long.
        timeout_worker_healthcheck=10,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        ws_max_size=settings.body_limit_kb * 1024,
        ws_per_message_deflate=False,  # which takes more memory for each client than all else does
    )


def _require_free_port(host: str, port: int) -> None:
    failure = why_not_listen(host, port)
    if failure is None:
        return
    if failure.errno in (errno.EADDRINUSE, errno.EACCES):
        _fail(f"PORT: cannot listen on {host}:{port} ({failure.strerror}). Choose another, such as PORT={port + 1}.")
    _fail(f"HOST: cannot listen on {host} ({failure.strerror}). Choose an address of this machine.")


def _greet(settings: Settings, host: str, port: int, *, demo: bool) -> None:
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    _say(f"\nThe Orders API: {address}")
    _say(f"{'GraphiQL' if settings.graphiql else 'Its endpoint'}: {address}/graphql")
    if demo:
        from tools.demo import DEMO_ACCOUNTS, DEMO_PASSWORD

        _say(f"Demo accounts, all with the password {DEMO_PASSWORD!r}:")
        for account in DEMO_ACCOUNTS:
            _say(f"  {account.email:<24} {account.role}")
    _say("Ctrl-C ends it.\n")


def main() -> None:
    """Run a command. Where something around it is wrong, one line says what, and what to do."""
    try:
        cli(prog_name="python -m app")
    except Exception as failure:
        from app.cli.troubles import trouble_of  # knows of failures that few commands meet

        trouble = trouble_of(failure, load_settings().database_url)
        if trouble is None:
            raise
        _say(str(trouble))
        sys.exit(1)
