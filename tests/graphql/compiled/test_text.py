"""From the text that Postgres returns to the bytes of the response."""

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.db.texts import QUOTE
from app.graphql.compiled.text import Template

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
TEXTS = st.lists(st.one_of(TEXT, st.text('\x01"\\\x7f\x80é😀\u2028,:{}[]', max_size=5)))
NAMES = Template({"root": 2, "name": 4})
"""Of {"names":[{"name":"…"},{"name":"…"}]}: two quotation marks at the root, and four with each name."""


def as_postgres_returns_it(names: list[str]) -> str:
    rows = ",".join(f"{{{QUOTE}name{QUOTE}:{QUOTE}{name}{QUOTE}}}" for name in names)
    return f"{{{QUOTE}names{QUOTE}:[{rows}]}}"


@given(names=TEXTS)
@example(names=[QUOTE])
@example(names=[f"{QUOTE},{QUOTE}admin{QUOTE}:true,{QUOTE}x{QUOTE}:{QUOTE}"])
@example(names=[f"a{QUOTE}}},{{{QUOTE}name{QUOTE}:{QUOTE}b"])
@example(names=["\x01\x1f\x80\u2028\U0001f600", '"\\', '"},{"'])
def test_a_text_is_what_orjson_would_make_of_its_values_unless_one_holds_the_quote(names: list[str]) -> None:
    body = NAMES.render(as_postgres_returns_it(names), {"root": 1, "name": len(names)})

    if any(QUOTE in name for name in names):
        assert body is None
    else:
        assert body == orjson.dumps({"names": [{"name": name} for name in names]})


@given(names=TEXTS, more=st.integers(1, 3))
def test_a_text_with_another_number_of_rows_than_was_counted_is_given_up(names: list[str], more: int) -> None:
    rows = {"root": 1, "name": len(names) + more}

    assert NAMES.render(as_postgres_returns_it([]), rows) is None


@pytest.mark.parametrize("rows", [{"root": 1, "name": 0}, {"root": 1, "name": 2}])
def test_every_row_must_be_accounted_for(rows: dict[str, int]) -> None:
    assert NAMES.render(as_postgres_returns_it(["one"]), rows) is None


def test_a_text_without_quotation_marks_needs_no_rows() -> None:
    assert Template({}).render("{}", {"root": 1}) == b"{}"
