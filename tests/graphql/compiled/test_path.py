"""From the text that Postgres returns to the bytes of the response."""

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from app.db.texts import QUOTE
from app.graphql.compiled.path import rendered

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
