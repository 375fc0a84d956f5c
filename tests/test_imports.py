"""The layers: which module may know which."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import ROOT

APP = ROOT / "app"
DOMAINS = ("users", "stores", "products", "orders")
KNOWS_DOMAINS = {"schema", "loaders", "lazy"}


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of every module and name that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(pattern: str) -> list[Path]:
    found = sorted(APP.glob(pattern))
    assert found, pattern
    return found


def starts_with(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def name_of(path: Path) -> str:
    return str(path.relative_to(APP))


CORE = [
    *modules("*/repository.py"),
    *modules("*/service.py"),
    *modules("security/*.py"),
    *(
        APP / f"{name}.py"
        for name in ("models", "errors", "pagination", "database", "unit_of_work", "sql", "validation")
    ),
]
SPINE = [path for path in modules("graphql/**/*.py") if path.stem not in KNOWS_DOMAINS]


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_knows_no_graphql_and_no_http(path: Path) -> None:
    frameworks = ("strawberry", "graphql", "fastapi", "starlette", "aiodataloader", "app.graphql")
    assert not [name for name in imports(path) if starts_with(name, *frameworks)]


@pytest.mark.parametrize("path", SPINE, ids=name_of)
def test_the_spine_knows_no_domain(path: Path) -> None:
    assert not [name for name in imports(path) if starts_with(name, *(f"app.{domain}" for domain in DOMAINS))]


@pytest.mark.parametrize("path", modules("monitoring/*.py"), ids=name_of)
def test_monitoring_knows_no_graphql(path: Path) -> None:
    assert not [name for name in imports(path) if starts_with(name, "graphql", "app.graphql")]


@pytest.mark.parametrize("path", modules("*/service.py"), ids=name_of)
def test_services_send_no_sql_of_their_own(path: Path) -> None:
    building = {f"sqlalchemy.{name}" for name in ("select", "insert", "update", "delete", "text", "exists")}
    assert not building & set(imports(path))


@pytest.mark.parametrize("path", modules("*/resolvers.py"), ids=name_of)
def test_resolvers_know_neither_sql_nor_tables(path: Path) -> None:
    assert not [name for name in imports(path) if starts_with(name, "sqlalchemy", "app.models", "app.sql")]


@pytest.mark.parametrize("path", [*modules("**/*.py")], ids=name_of)
def test_nothing_but_the_command_line_knows_what_is_for_development(path: Path) -> None:
    if path.parent.name != "dev" and path.name != "__main__.py":
        assert not [name for name in imports(path) if starts_with(name, "app.dev", "tests")]
