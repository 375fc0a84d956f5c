"""The race: check every response, count statements, then let contestants take turns under load."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from itertools import cycle, islice, product
from multiprocessing import get_context
from typing import Any

from benchmarks import processes
from benchmarks.contestants import Contestant
from benchmarks.database import Database
from benchmarks.figures import Measurement, Series
from benchmarks.load import Plan, ask, connect, run
from benchmarks.scenarios import Case, Scenario, World, essence, placed
from benchmarks.servers import Server, served
from benchmarks.wire import Counter, counted

_CHECKED = 5  # cases of each scenario
_COUNTED = 20  # requests, after as many that prepare statements
_AFTERMATH_SECONDS = 0.1  # for statements that a server sends after its response
_MAX_WARM_UP_SECONDS = 0.5

Say = Callable[[str], None]


class WrongAnswer(Exception):
    """A contestant returned a wrong response."""


@dataclass(frozen=True)
class Course:
    """The contestants and scenarios of a race, and its rounds and duration."""

    contestants: Sequence[Contestant]
    scenarios: Sequence[Scenario]
    connections: Sequence[int] = (1, 16)
    rounds: int = 3
    seconds: float = 3.0
    count_statements: bool = True
    pin: bool = True


@dataclass
class Outcome:
    """The outcome. Statements are keyed by contestant and scenario; memory is in MB, before and after."""

    series: list[Series] = field(default_factory=list)
    statements: dict[tuple[str, str], float] = field(default_factory=dict)
    memory: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    pinning: str = "nothing"
    load_average: float = field(default_factory=lambda: os.getloadavg()[0])


async def race(course: Course, database: Database, say: Say) -> Outcome:
    """Run the whole course."""
    world = await database.world()
    outcome = Outcome()
    if course.count_statements:
        outcome.statements = await _count_statements(course, database, world, say)
    with ExitStack() as pins:
        cores = processes.split_cores() if course.pin else None
        outcome.pinning = _pin(cores, await database.postmaster(), pins)
        async with AsyncExitStack() as stack:
            servers = [
                await stack.enter_async_context(served(contestant, database.url, cores and cores[0]))
                for contestant in course.contestants
            ]
            for server, scenario in _entries(servers, course.scenarios):
                await _check(server, scenario, database, world)
            say("Every contestant returns correct responses.")
            before = [processes.resident_megabytes(server.pid) for server in servers]
            outcome.series = await _take_turns(course, servers, database, world, say)
            after = [processes.resident_megabytes(server.pid) for server in servers]
    names = (contestant.name for contestant in course.contestants)
    outcome.memory = dict(zip(names, zip(before, after, strict=True), strict=True))
    return outcome


def _entries(servers: Sequence[Server], scenarios: Sequence[Scenario]) -> Iterator[tuple[Server, Scenario]]:
    """Return the pairs of scenario and contestant, grouped by scenario."""
    for scenario, server in product(scenarios, servers):
        if scenario.name in server.contestant.requests:
            yield server, scenario


def _pin(cores: tuple[set[int], set[int]] | None, postmaster: int | None, pins: ExitStack) -> str:
    """Pin this process, the load generator and Postgres to other cores than the servers; return a description."""
    if cores is None:
        return "nothing"
    server, others = (", ".join(map(str, sorted(part))) for part in cores)
    pins.enter_context(processes.pinned(os.getpid(), cores[1]))
    beside = ["load generator"]
    if postmaster is not None and pins.enter_context(processes.pinned(postmaster, cores[1])):
        beside.append("Postgres")
    return f"servers on core {server}; {' and '.join(beside)} on {others}"


def requests_of(contestant: Contestant, scenario: Scenario, world: World) -> list[bytes]:
    """Return every request of the scenario in the form of the contestant."""
    return [_encoded(contestant, scenario, world, case) for case in scenario.cases(world)]


def _encoded(contestant: Contestant, scenario: Scenario, world: World, case: Case) -> bytes:
    request = contestant.requests[scenario.name](case)
    return request.encoded(world.tokens[scenario.user] if scenario.user else None)


async def _check(server: Server, scenario: Scenario, database: Database, world: World) -> None:
    """Compare some responses with those of hand-written SQL; WrongAnswer if they differ."""
    connection = await connect(server.port)
    for case in scenario.cases(world)[:_CHECKED]:
        body = await ask(connection, _encoded(server.contestant, scenario, world, case))
        said = _essence(scenario, body)
        if scenario.writes:
            said.pop("id")
            right = placed(world, case)
        else:
            keys = [case.order_id] if case.order_id else []
            right = _essence(scenario, await database.expected(scenario.name, *keys))
        if said != right or (scenario.length and len(said) != scenario.length):
            raise WrongAnswer(f"{server.contestant.name} in {scenario.name}:\n{said}\nexpected:\n{right}")
    connection.close()
    if scenario.writes:
        await database.forget_orders()


def _essence(scenario: Scenario, body: str | bytes) -> Any:
    return essence(json.loads(body)["data"][scenario.root])


async def _count_statements(course: Course, database: Database, world: World, say: Say) -> dict[tuple[str, str], float]:
    """Count statements per request with separate servers, as proxying the wire takes time."""
    statements = {}
    for contestant in course.contestants:
        async with counted(database.url) as counter, served(contestant, counter.url) as server:
            for _, scenario in _entries([server], course.scenarios):
                requests = requests_of(contestant, scenario, world)
                statements[contestant.name, scenario.name] = await _statements_per_request(server, requests, counter)
    await database.forget_orders()
    say("Counted the statements.")
    return statements


async def _statements_per_request(server: Server, requests: Sequence[bytes], counter: Counter) -> float:
    connection, sent, counts = await connect(server.port), cycle(requests), []
    for _ in range(2):
        for request in islice(sent, _COUNTED):
            await ask(connection, request)
        await asyncio.sleep(_AFTERMATH_SECONDS)
        counts.append(counter.statements)
    connection.close()
    return (counts[1] - counts[0]) / _COUNTED


async def _take_turns(
    course: Course, servers: Sequence[Server], database: Database, world: World, say: Say
) -> list[Series]:
    """Measure round by round; in each, the contestants take turns directly after one another."""
    rounds: dict[tuple[str, int, str], list[Measurement]] = {}
    postmaster = await database.postmaster()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as load:
        for number in range(course.rounds):
            say(f"Round {number + 1} of {course.rounds}")
            for (server, scenario), connections in _turns(course, servers):
                plan = Plan(
                    port=server.port,
                    requests=requests_of(server.contestant, scenario, world),
                    connections=connections,
                    warm_up_seconds=min(_MAX_WARM_UP_SECONDS, course.seconds / 4),
                    seconds=course.seconds,
                    server=server.pid,
                    postgres=postmaster,
                )
                measured = await asyncio.get_running_loop().run_in_executor(load, run, plan)
                if scenario.writes:
                    await _settle(server, scenario, measured, database)
                key = (scenario.name, connections, server.contestant.name)
                rounds.setdefault(key, []).append(measured)
    return [Series(*key, tuple(measured)) for key, measured in rounds.items()]


def _turns(course: Course, servers: Sequence[Server]) -> Iterator[tuple[tuple[Server, Scenario], int]]:
    for scenario, connections in product(course.scenarios, course.connections):
        for entry in _entries(servers, [scenario]):
            yield entry, connections


async def _settle(server: Server, scenario: Scenario, measured: Measurement, database: Database) -> None:
    """Delete what was written; WrongAnswer if it doesn't match the responses."""
    answers, orders = measured.answers + measured.warm_up_answers, await database.forget_orders()
    if answers != orders:
        raise WrongAnswer(f"{server.contestant.name} in {scenario.name}: {answers} answers, but {orders} orders")
