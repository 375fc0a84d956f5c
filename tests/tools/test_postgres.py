"""The Postgres of development and tests: shared by its users, gone with the last, and never losing a row."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from tools import postgres, postgres_keeper
from tools.postgres import PostgresUnavailable, embedded_postgres, home_of

PROJECT = Path(__file__).resolve().parents[2]
LONG_PATH = "/".join(["long, with spaces" * 6] * 4)  # several times what the path of a socket may have
USER_PROGRAM = """
import sys
from pathlib import Path
from tools.postgres import embedded_postgres

with embedded_postgres(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


class User:
    """Another process that uses the Postgres of a directory until asked to leave."""

    def __init__(self, directory: Path, python: str = sys.executable, **options: Any) -> None:
        self.process = subprocess.Popen(
            [python, "-c", USER_PROGRAM, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **{"cwd": PROJECT} | options,
        )

    @cached_property
    def url(self) -> str:
        assert self.process.stdout
        url: str = self.process.stdout.readline().strip()
        assert url, "Postgres did not start; the reason is in the captured stderr"
        return url

    def leave(self) -> None:
        self.process.communicate(timeout=10)

    def end_by(self, number: signal.Signals) -> None:
        """Signal the whole process group, as Ctrl-C does."""
        os.killpg(self.process.pid, number)
        self.leave()


def query(url: str, sql: str) -> Any:
    async def run() -> Any:
        engine = create_async_engine(url, poolclass=NullPool)
        async with engine.begin() as connection:
            result = await connection.execute(text(sql))
            return result.scalar() if result.returns_rows else None

    return asyncio.run(run())


def commit_a_row(url: str) -> str:
    row = uuid.uuid4().hex
    query(url, "CREATE TABLE IF NOT EXISTS remembered (row text)")
    query(url, f"INSERT INTO remembered VALUES ('{row}')")
    return row


def has_row(url: str, row: str) -> bool:
    return bool(query(url, f"SELECT count(*) FROM remembered WHERE row = '{row}'") == 1)


def postmasters(home: Path) -> dict[int, int]:
    """The parents, by pid, of the Postgres servers with these data."""
    listed = subprocess.run(["ps", "-Awwo", "pid=,ppid=,command="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=2) for line in listed.splitlines()]
    found = {int(pid): int(parent) for pid, parent, command in lines if f"bin/postgres -D {home}/data" in command}
    return {pid: parent for pid, parent in found.items() if parent not in found}  # not who was just forked


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def wait_until_stopped(home: Path) -> None:
    """No process of Postgres (each inherits the server lock) nor a keeper is left."""
    wait_until(lambda: not any(postgres_keeper.is_held(home, name) for name in ("server", "keeper")))
    wait_until(lambda: not postmasters(home))


@pytest.fixture(scope="module")
def kept_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("kept")
    with embedded_postgres(directory):
        pass
    yield directory
    clean_up(directory)


@pytest.fixture
def directory(kept_directory: Path) -> Iterator[Path]:
    """A directory with data, whose Postgres does not run; initdb is too slow to be done for every test."""
    wait_until_stopped(home_of(kept_directory))
    yield kept_directory
    wait_until_stopped(home_of(kept_directory))


@pytest.fixture
def fresh_directory(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "fresh"
    yield directory
    clean_up(directory)


def clean_up(directory: Path) -> None:
    home = home_of(directory)
    if home.exists():
        wait_until_stopped(home)
        shutil.rmtree(home)


@pytest.fixture
def new_user() -> Iterator[Callable[[Path], User]]:
    with ExitStack() as ends:

        def new_user(directory: Path) -> User:
            user = User(directory)
            ends.callback(user.leave)
            return user

        yield new_user


def test_starting_again_finds_the_data(directory: Path) -> None:
    with embedded_postgres(directory) as url:
        row = commit_a_row(url)
    with embedded_postgres(directory) as url:
        assert has_row(url, row)


def test_users_share_one_postgres_which_stops_after_the_last(directory: Path, new_user: Callable[[Path], User]) -> None:
    first, second = new_user(directory), new_user(directory)
    assert first.url == second.url
    (postmaster,) = postmasters(home_of(directory))
    first.end_by(signal.SIGINT)  # which, started by the first, Postgres must not take for its own
    time.sleep(0.2)  # several times what a stop takes
    assert query(second.url, "SELECT 1") == 1
    assert [*postmasters(home_of(directory))] == [postmaster]
    second.leave()
    wait_until_stopped(home_of(directory))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_postgres_stops_however_its_user_ends_and_keeps_what_was_committed(
    number: signal.Signals, directory: Path, new_user: Callable[[Path], User]
) -> None:
    user = new_user(directory)
    row = commit_a_row(user.url)
    assert postmasters(home_of(directory))
    user.end_by(number)
    wait_until_stopped(home_of(directory))
    with embedded_postgres(directory) as url:
        assert has_row(url, row)


def test_an_exception_ends_the_use(directory: Path) -> None:
    with pytest.raises(ZeroDivisionError), embedded_postgres(directory):
        _ = 1 / 0
    wait_until_stopped(home_of(directory))


def test_a_killed_postgres_is_started_afresh_though_its_number_is_another_process_s(
    directory: Path, new_user: Callable[[Path], User]
) -> None:
    user = new_user(directory)
    row = commit_a_row(user.url)
    home = home_of(directory)
    (postmaster,) = postmasters(home)
    os.kill(postmaster, signal.SIGKILL)
    wait_until(lambda: not postgres_keeper.is_held(home, "server"))

    account = postgres_keeper.server_account()
    with subprocess.Popen(["sleep", "60"], user=account.pw_uid if account else None) as bystander:
        pid_file = home / "data" / "postmaster.pid"
        pid_file.write_text(pid_file.read_text().replace(str(postmaster), str(bystander.pid), 1))
        try:
            with embedded_postgres(directory) as url:
                assert has_row(url, row)
                assert has_row(user.url, row)  # who was there before can go on
            assert bystander.poll() is None
        finally:
            bystander.kill()


def kill_keeper(home: Path) -> int:
    """Kill the keeper and return the pid of the Postgres it had."""
    ((postmaster, keeper),) = postmasters(home).items()
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not postgres_keeper.is_held(home, "keeper"))
    return postmaster


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals a process whose parent has died")
def test_a_killed_keeper_takes_postgres_with_it(directory: Path, new_user: Callable[[Path], User]) -> None:
    row = commit_a_row(new_user(directory).url)
    kill_keeper(home_of(directory))
    wait_until_stopped(home_of(directory))
    with embedded_postgres(directory) as url:
        assert has_row(url, row)


def test_a_postgres_without_keeper_is_replaced(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "keeper_elsewhere.py"
    program = (
        f"import runpy, sys; sys.platform = 'other'; runpy.run_path({postgres_keeper.__file__!r}, None, '__main__')"
    )
    elsewhere.write_text(program)
    monkeypatch.setattr(postgres_keeper, "__file__", str(elsewhere))
    with embedded_postgres(directory) as first_url:
        row = commit_a_row(first_url)
        orphan = kill_keeper(home_of(directory))
        assert [*postmasters(home_of(directory))] == [orphan]
        with embedded_postgres(directory) as url:
            assert has_row(url, row)
            assert has_row(first_url, row)
            (postmaster,) = postmasters(home_of(directory))
            assert postmaster != orphan


def test_eight_users_at_once_start_one_postgres(fresh_directory: Path, new_user: Callable[[Path], User]) -> None:
    users = [new_user(fresh_directory) for _ in range(8)]
    assert [query(user.url, "SELECT 1") for user in users] == [1] * 8
    assert len(postmasters(home_of(fresh_directory))) == 1


def test_a_user_killed_while_starting_is_in_nobody_s_way(
    fresh_directory: Path, new_user: Callable[[Path], User]
) -> None:
    hasty = new_user(fresh_directory)
    wait_until(lambda: (home_of(fresh_directory) / "data.partial").exists())
    hasty.end_by(signal.SIGKILL)
    assert query(new_user(fresh_directory).url, "SELECT 1") == 1
    assert len(postmasters(home_of(fresh_directory))) == 1


def test_what_an_interrupted_initdb_left_is_not_taken_for_a_database(fresh_directory: Path) -> None:
    remains = home_of(fresh_directory) / "data.partial"
    remains.mkdir(parents=True)
    (remains / "PG_VERSION").write_text("18\n")
    with embedded_postgres(fresh_directory) as url:
        assert query(url, "SELECT 1") == 1
    assert not remains.exists()


def test_any_path_will_do(tmp_path: Path) -> None:
    directory = tmp_path / LONG_PATH
    with embedded_postgres(directory) as url:
        assert query(url, "SELECT current_database()") == "orders"
    clean_up(directory)


def test_rows_survive_kill_9_because_nothing_is_turned_off(directory: Path) -> None:
    with embedded_postgres(directory) as url:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert query(url, f"SHOW {setting}") == "on"


@pytest.mark.parametrize("source", ["wheel", "machine"])
def test_matching_without_case_knows_umlauts(
    source: str, fresh_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if source == "machine":
        monkeypatch.setattr(postgres, "find_spec", lambda name: None)
        if not any(postgres_keeper.major_version(binaries) >= 15 for binaries in postgres._candidates()):
            pytest.skip("only the wheel's Postgres is here")
    with embedded_postgres(fresh_directory) as url:
        assert query(url, "SELECT 'Ärger' ILIKE 'ä%'") is True


def test_the_environment_changes_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    with embedded_postgres(directory) as url:
        assert query(url, "SELECT current_user") == "postgres"


def test_no_postgres_anywhere_says_what_to_do(fresh_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_keeper, "major_version", lambda binaries: 14)
    with pytest.raises(PostgresUnavailable, match=r"Set DATABASE_URL .* install"), embedded_postgres(fresh_directory):
        pass


def test_a_failed_start_shows_the_end_of_the_log(directory: Path) -> None:
    version = home_of(directory) / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("9.6\n")
    try:
        with pytest.raises(PostgresUnavailable, match=r"by PostgreSQL version 9\.6"), embedded_postgres(directory):
            pass
    finally:
        version.write_text(right)


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests are an ordinary user's already")
def test_an_ordinary_user_s_data_are_in_the_directory() -> None:
    nobody = pwd.getpwnam("nobody")
    account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    python = python_for(account)
    with tempfile.TemporaryDirectory() as base:  # not tmp_path, which only root can enter
        shutil.copytree(PROJECT / "tools", Path(base, "tools"))
        directory = Path(base, "theirs", LONG_PATH)
        directory.mkdir(parents=True)
        for path in (Path(base), *Path(base).rglob("*")):
            path.chmod(0o755)
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)

        environment = {"PATH": os.defpath, "PYTHONPATH": f"{base}:{sysconfig.get_path('purelib')}"}
        user = User(directory, python, cwd=base, env=environment, **account)
        try:
            assert query(user.url, "SHOW data_directory") == f"{directory}/data"
            assert (directory / "data").stat().st_uid == nobody.pw_uid
            assert "/orders-api-" in user.url
        finally:
            user.end_by(signal.SIGKILL)
            wait_until_stopped(directory)
        assert not Path(user.url.partition("host=")[2].partition("&")[0]).exists()


def python_for(account: dict[str, Any]) -> str:
    """A Python that the account may run."""
    check = ["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    for python in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        try:
            if subprocess.run([python, *check], cwd="/", check=False, **account).returncode == 0:
                return python
        except OSError:
            continue
    pytest.skip("no Python >= 3.11 here that an ordinary user may run")


def test_it_is_told_whether_it_runs(directory: Path, new_user: Callable[[Path], User]) -> None:
    assert postgres.running_url(directory) is None
    url = new_user(directory).url
    assert postgres.running_url(directory) == url


def test_it_is_told_what_would_be_started(monkeypatch: pytest.MonkeyPatch, fresh_directory: Path) -> None:
    monkeypatch.setattr(postgres, "_published", lambda _: pytest.fail("nothing must be written"))
    assert postgres.version_to_start() >= postgres.OLDEST_VERSION
    assert postgres.running_url(fresh_directory) is None
    assert not home_of(fresh_directory).exists()
    monkeypatch.setattr(postgres, "_candidates", lambda **_: iter(()))
    assert postgres.version_to_start() == 0
