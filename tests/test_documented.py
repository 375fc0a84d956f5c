"""What is not so on a page is found."""

from pathlib import Path

import pytest

from app.settings import Settings
from tests.documented import Names, check, sections

PAGE = """# A page

```sh
make coffee
```

## Asking

```graphql
query ($really: Boolean!) { __typename @include(if: $really) viewer { id } }
```

```json
{ "variables": { "really": true } }
```

```json
{ "data": { "__typename": "Query", "viewer": null }, "extensions": { "cost": { "requested": 1, "limit": 5000 } } }
```

```http
GET /graphql?query={nothing}
X-Request-ID: 7f-mine
Accept: application/graphql-response+json
```

```http
HTTP/1.1 400 Bad Request
X-Request-ID: 9…

{
  "errors": [
    {
      "message": "Cannot query field 'nothing' on type 'Query'.",
      "locations": [{ "line": 1, "column": 2 }],
      "extensions": { "code": "GRAPHQL_VALIDATION_FAILED" }
    }
  ]
}
```

## Following

```http
POST /graphql
Content-Type: application/json
Accept: text/event-stream

{ "query": "{ __typename }" }
```

```http
HTTP/1.1 200 OK

event: next
data: { "data": { "__typename": "Query" } }
```

```sse
event: complete
data:
```

```websocket
→ { "type": "connection_init" }
← { "type": "connection_ack" }
```

```websocket
→ { "id": "1", "type": "subscribe", "payload": { "query": "{ __typename }" } }
← { "id": "1", "type": "next", "payload": { "data": { "__typename": "Query" } } }
← { "id": "1", "type": "complete" }
```

## A server that says less

```dotenv
INTROSPECTION=false
COST_LIMIT=1
```

```graphql
{ stores(first: 2) { nodes { id } } }
```

```json
{
  "errors": [
    {
      "message": "This operation costs 2 points; the limit is 1. Request fewer items per page, or fewer fields.",
      "extensions": { "code": "COST_LIMIT_EXCEEDED", "cost": { "requested": 2, "limit": 1 } }
    }
  ]
}
```
"""


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url)


async def test_a_page_that_is_true_is_found_so(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    answers = await check(tmp_path / "page.md", settings)
    assert [*answers[0]["data"]] == ["__typename", "viewer"]
    assert len(answers) == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"__typename": "Query", "viewer": null', '"__typename": "Query"'),
        ('"__typename": "Query", "viewer": null', '"viewer": null, "__typename": "Mutation"'),
        ('"__typename": "Query", "viewer": null', '"viewer": null, "__typename": "Query"'),
        ('"requested": 1,', '"requested": 2,'),
        ("400 Bad Request", "200 OK"),
        ("400 Bad Request", "400 Fine"),
        ("X-Request-ID: 9…", "X-Request-ID: x…"),
        ("X-Request-ID: 9…", "X-Something: 9…"),
        ('"column": 2', '"column": 3'),
        ("field 'nothing'", "field '…none…'"),
        ('data: { "data": { "__typename": "Query" } }', 'data: { "data": { "__typename": "Mutation" } }'),
        ("event: complete", "event: next"),
        ("connection_ack", "connection_ok"),
        ('{ "data": { "__typename": "Query" } } }', '{ "data": { "__typename": "Mutation" } } }'),
        ('"id": "1", "type": "complete"', '"id": "2", "type": "complete"'),
        ("COST_LIMIT=1\n", ""),
        ("make coffee\n```", "make coffee\n```\n\n```json\n{}\n```"),
        ("X-Request-ID: 7f-mine", "X-Request-ID: 7f-…"),
    ],
)
async def test_what_is_not_so_is_found(tmp_path: Path, settings: Settings, old: str, new: str) -> None:
    assert old in PAGE
    (tmp_path / "page.md").write_text(PAGE.replace(old, new, 1))
    with pytest.raises(AssertionError) as failure:
        await check(tmp_path / "page.md", settings)
    assert "page.md:" in failure.value.__notes__[0]


def test_a_failure_says_where(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    ((first, *_), *_) = [blocks for blocks in sections(tmp_path / "page.md") if blocks]
    assert (first.language, first.line) == ("sh", 3)


def test_a_name_is_always_the_same_value() -> None:
    names = Names()
    assert names.expected(["Product_1…"], ["Product_7f3"]) == ["Product_7f3"]
    assert names.expected({"id": "Product_1…"}, {"id": "Product_7f3"}) == {"id": "Product_7f3"}
    assert names.expected(["Product_1…"], ["Product_8a1"]) == ["Product_1…"]
    assert names.filled("node(id: Product_1…)") == "node(id: Product_7f3)"


@pytest.mark.parametrize(
    ("name", "value", "is_like"),
    [
        ("Product_0193e916-…", "Product_018f4a31-aaaa", True),
        ("Product_0193e916-…", "Order_018f4a31-aaaa", False),
        ("2026-11-20T12:15:…+00:00", "2027-01-31T09:00:01.000000+00:00", True),
        ("2026-11-20T12:15:…+00:00", "2027-01-31T09:00:01.000000Z", False),
        ("eyJhbGciOi…", "eyJhbGciOiJIUzI1NiJ9.x.y", True),
        ("eyJhbGciOi…", "abc", False),
        ("60…", 59, True),
        ("60…", 7, False),
    ],
)
def test_a_name_is_like_its_value(name: str, value: str | int, is_like: bool) -> None:
    assert Names().expected(name, value) == (value if is_like else name)


def test_a_longer_name_is_not_taken_for_a_shorter_one() -> None:
    names = Names({"token…": "a", "token…2": "b"})
    assert names.filled("token…2 token…") == "b a"


def test_what_the_page_was_not_told_is_not_sent() -> None:
    with pytest.raises(AssertionError, match="has not been told"):
        Names().filled("node(id: Product_1…)")
