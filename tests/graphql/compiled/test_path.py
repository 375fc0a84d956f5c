"""From the text that Postgres returns to the bytes of the response."""

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.db.texts import QUOTE
from app.graphql.compiled.path import Answer, rendered

TEXT = st.text(st.characters(exclude_characters="\0\x7f", exclude_categories=["Cs"]))
TEXTS = st.lists(st.one_of(TEXT, st.text('\x01"\\\x7e\x80é😀\u2028,:{}[]', max_size=5)))


def as_postgres_returns_it(names: list[str]) -> str:
    rows = ",".join(f"{{{QUOTE}name{QUOTE}:{QUOTE}{name}{QUOTE}}}" for name in names)
    return f"{{{QUOTE}names{QUOTE}:[{rows}]}}"


@given(names=TEXTS)
@example(names=['","admin":true,"x":"'])
@example(names=["\x01\x1f\x80\u2028\U0001f600", '"\\', '"},{"'])
def test_the_response_is_what_orjson_makes_of_its_values(names: list[str]) -> None:
    assert rendered(as_postgres_returns_it(names)) == orjson.dumps({"names": [{"name": name} for name in names]})


def test_a_text_without_quotation_marks_is_a_response_too() -> None:
    assert rendered("{}") == b"{}"


@pytest.mark.parametrize(
    ("data", "is_nothing"),
    [
        (b'{"data":{"orderUpdated":null}}', True),
        (b'{"data":{"it":null}}', True),
        (b'{"data":{"orderUpdated":{}}}', False),
        (b'{"data":{"orderUpdated":{"order":{"customer":null}}}}', False),
        (b'{"data":{"it":{"product":{"description":"null}} {\\"data\\":{"}}}}', False),
    ],
)
def test_an_answer_is_nothing_where_its_one_field_is_null(data: bytes, is_nothing: bool) -> None:
    assert Answer(data, ()).is_nothing is is_nothing
