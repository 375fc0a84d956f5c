"""The layers: which module may know which."""

import ast
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from app.settings import ROOT

APP = ROOT / "app"
FRAMEWORKS = ("strawberry", "graphql", "fastapi", "starlette", "aiodataloader", "app.graphql")
DOMAINS = sorted({path.parent.name for path in APP.glob("*/types.py")} - {"audit"})
# `context` confirms the viewer's account.
KNOWS_DOMAINS = {"schema", "lazy", "context"}
# What stands at the bottom, and all of the application that it may know.
FOUNDATIONS = {
    "errors": ("global_ids",),
    "settings": (),
    "db.texts": (),
    "db.models": ("db.texts", "lengths"),
    "lengths": (),
    "process.supervisor": ("process.uvicorn_internals",),
    "process.upgrades": ("process.uvicorn_internals",),
    "process.protocol": ("errors", "process.connections", "process.upgrades", "process.uvicorn_internals", "wake"),
    "wake": (),
    "process.connections": ("clients", "errors"),
    "process.files": ("process.connections", "settings"),
    "security": ("errors", "lengths", "texts"),
    "clients": ("security",),
    "db.pool_queue": ("errors",),
    "global_ids": (),
    "currencies": (),
    "contacts": ("lengths", "texts"),
    "texts": (),
    "inputs": ("contacts", "currencies", "errors", "global_ids", "lengths", "texts"),
    "db.asyncpg_internals": (),
    "db.sqlalchemy_internals": (),
    "process.uvicorn_internals": (),
    "db.statements": ("errors", "db.models", "inputs"),
    "db.pagination": ("currencies", "errors", "db.models", "db.statements", "security"),
    "db.migrations": ("db.migration_locks", "db.models", "settings"),
    "db.migration_locks": (),
    "db.engine": (
        "errors",
        "db.asyncpg_internals",
        "db.pool_queue",
        "db.server_settings",
        "db.servers",
        "db.sqlalchemy_internals",
        "monitoring.operation_log",
        "settings",
    ),
    "db.servers": ("db.asyncpg_internals",),
    "db.startup": ("db.engine",),
    "db.unit_of_work": ("db.asyncpg_internals", "db.engine", "errors", "monitoring.operation_log", "db.statements"),
    "events": ("db.engine", "db.models", "db.statements", "db.unit_of_work", "errors", "wake"),
    "db.server_settings": ("settings",),
    "db.poolers": ("db.engine", "db.server_settings", "db.servers", "settings"),
    "replicas": (
        "db.asyncpg_internals",
        "db.engine",
        "db.models",
        "db.poolers",
        "db.server_settings",
        "db.servers",
        "db.unit_of_work",
        "errors",
        "monitoring.operation_log",
        "security",
        "settings",
    ),
    "process.readiness": ("db.engine", "db.poolers", "db.migrations", "replicas.reading"),
    "idempotency": ("errors", "db.models", "db.statements", "db.unit_of_work"),
    "monitoring": (
        *("db.engine", "events", "errors", "process.connections", "pruning", "replicas.reading", "security"),
        *("settings", "db.texts"),
    ),
    "pruning": (
        *("db.engine", "db.migration_locks", "db.models", "db.statements", "events.repository", "idempotency.service"),
        *("settings", "users.repository"),
    ),
    "process.logging": ("monitoring", "settings"),
}


def imports(path: Path, *, deferred: bool = True) -> Iterator[str]:
    """Yield the full name of every module and name that a file imports; without those that it imports only for types
    or in a function if they are not to be told."""
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif deferred or not _defers(node):
            nodes += ast.iter_child_nodes(node)
        elif isinstance(node, ast.If):
            nodes += node.orelse


def _defers(node: ast.AST) -> bool:
    is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return is_for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def modules(pattern: str) -> list[Path]:
    found = sorted(APP.glob(pattern))
    assert found, pattern
    return found


def starts_with(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def name_of(path: Path) -> str:
    return str(path.relative_to(APP))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def circle_in(needs: dict[str, set[str]]) -> list[str]:
    """Return those that need each other in a circle, if any do."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def files_of(names: Iterable[str]) -> list[Path]:
    found = [name.replace(".", "/") for name in sorted(names)]
    return [
        path for name in found for path in modules(f"{name}.py" if (APP / f"{name}.py").exists() else f"{name}/*.py")
    ]


CORE = [
    *modules("*/repository.py"),
    *modules("*/service.py"),
    *files_of(FOUNDATIONS.keys() - {"monitoring"}),
    APP / "monitoring" / "operation_log.py",
    APP / "audit" / "recording.py",
]
# The packages of `graphql`, each with those that it may import.
PACKAGES = {
    "relations": ("operations",),
    "operations": ("compiled", "relations", "subscriptions"),
    "compiled": ("operations", "relations"),
    "subscriptions": ("operations", "compiled", "relations"),
    "http": ("operations", "compiled", "subscriptions"),
}
SPINE = [path for path in modules("graphql/**/*.py") if path.stem not in KNOWS_DOMAINS]


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_knows_no_graphql_and_no_http(path: Path) -> None:
    assert not [name for name in imports(path) if starts_with(name, *FRAMEWORKS)]


@pytest.mark.parametrize("foundation", FOUNDATIONS)
def test_what_stands_at_the_bottom_knows_only_what_stands_below(foundation: str) -> None:
    known = tuple(f"app.{name}" for name in (foundation, *FOUNDATIONS[foundation]))
    for path in files_of([foundation]):
        # `from app import migrations` imports what it names
        assert not [name for name in imports(path) if starts_with(name, "app") and not starts_with(name, *known)], path


@pytest.mark.parametrize("path", SPINE, ids=name_of)
def test_the_spine_knows_no_domain(path: Path) -> None:
    assert not [name for name in imports(path) if starts_with(name, *(f"app.{domain}" for domain in DOMAINS))]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_of_graphql_imports_only_those_below(package: str) -> None:
    assert {path.parent.name for path in modules("graphql/*/__init__.py")} == PACKAGES.keys()
    closed = [f"app.graphql.{other}" for other in PACKAGES if other not in (package, *PACKAGES[package])]
    for path in modules(f"graphql/{package}/*.py"):
        assert not [name for name in imports(path) if starts_with(name, *closed)], path


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_knows_the_rules_and_the_sql_of_others_but_not_their_graphql(domain: str) -> None:
    others = [f"app.{other}.{module}" for other in DOMAINS for module in ("types", "resolvers", "loaders")]
    foreign = [name for name in others if not starts_with(name, f"app.{domain}")]
    for path in modules(f"{domain}/*.py"):
        assert not [name for name in imports(path) if starts_with(name, *foreign)], path


def test_the_rules_of_domains_do_not_need_each_other_in_a_circle() -> None:
    needs: dict[str, set[str]] = {}
    for path in CORE:
        if (domain := path.parent.name) in DOMAINS:
            known = {other for other in DOMAINS for name in imports(path) if starts_with(name, f"app.{other}")}
            needs.setdefault(domain, set()).update(known - {domain})
    assert any(needs.values())
    assert not circle_in(needs)


def needs_of(paths: Iterable[Path], *, deferred: bool) -> dict[str, set[str]]:
    """Return which of these modules each of them imports."""
    known = {module_of(path): path for path in paths}
    needs = {}
    for module, path in known.items():
        names = {name if name in known else name.rpartition(".")[0] for name in imports(path, deferred=deferred)}
        needs[module] = (names & known.keys()) - {"app", module}
    assert sum(map(len, needs.values())) > len(known)
    return needs


def test_no_modules_need_each_other_in_a_circle_to_be_imported() -> None:
    assert not circle_in(needs_of(modules("**/*.py"), deferred=False))


def test_nothing_is_circular_even_with_imports_in_functions_and_for_types() -> None:
    """Except `lazy`, which names types of domains that refer to each other."""
    others = [path for path in modules("**/*.py") if path != APP / "graphql" / "lazy.py"]
    assert not circle_in(needs_of(others, deferred=True))


@pytest.mark.parametrize("path", modules("*/service.py"), ids=name_of)
def test_services_send_no_sql_of_their_own(path: Path) -> None:
    building = {f"sqlalchemy.{name}" for name in ("select", "insert", "update", "delete", "text", "exists")}
    assert not building & set(imports(path))


@pytest.mark.parametrize("path", modules("*/resolvers.py"), ids=name_of)
def test_resolvers_know_neither_sql_nor_tables(path: Path) -> None:
    assert not [name for name in imports(path) if starts_with(name, "sqlalchemy", "app.db.models", "app.db.statements")]


@pytest.mark.parametrize("path", [*modules("**/*.py")], ids=name_of)
def test_nothing_but_the_command_line_knows_what_is_for_development(path: Path) -> None:
    if path.parent.name != "cli":
        assert not [name for name in imports(path) if starts_with(name, "tools", "tests")]


@pytest.mark.parametrize("path", modules("**/*.py"), ids=name_of)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    """In its first lines, as a sentence or more, before anything else is said of it."""
    first, *_ = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")
    assert first.endswith((".", ":"))
    assert first[0].isupper() or first[0] in "`."
