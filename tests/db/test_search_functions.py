"""The database's own functions of the search: what they fold away, and that every beginning of a word finds it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

ONE_TRANSACTION = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ANY_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
# Letters that are newer than Postgres's parser of words, all of them rare, are no words to it.
KNOWN_TEXT = st.text(st.characters(max_codepoint=0x17FF, categories=["L", "N", "P", "S", "Z"]), max_size=40)
LIKE_A_NUMBER_ADDRESS_OR_PATH = st.text("ab1e2²½ß٣一-+./:@&?=_% ", max_size=20)


@pytest.mark.parametrize(
    ("value", "folded"),
    [
        ("ÀÉÎÕÜ", "aeiou"),
        ("Ørsted", "orsted"),
        ("Đđ Ħħ ı İ", "dd hh i i"),
        ("Straße STRAẞE", "strasse strasse"),
        ("Æ æ Œ œ", "ae ae oe oe"),
        ("e\u0301", "e"),
        ("a-b  C", "a-b  c"),
        ("", ""),
    ],
)
async def test_folding_drops_case_and_accents_and_nothing_else(
    connection: AsyncConnection, value: str, folded: str
) -> None:
    assert await connection.scalar(text("SELECT folded(:value)"), {"value": value}) == folded


@ONE_TRANSACTION
@given(value=ANY_TEXT)
async def test_what_is_folded_stays_as_it_is_when_folded_again(connection: AsyncConnection, value: str) -> None:
    twice = "SELECT folded(:value) = folded(folded(:value))"

    assert await connection.scalar(text(twice), {"value": value})


@ONE_TRANSACTION
@given(value=st.one_of(KNOWN_TEXT, LIKE_A_NUMBER_ADDRESS_OR_PATH))
async def test_a_text_is_found_by_every_beginning_of_each_of_its_words(connection: AsyncConnection, value: str) -> None:
    missed = text(
        """
        SELECT left(word, size)
        FROM regexp_split_to_table(search_words(:value), ' ') AS word, generate_series(1, length(word)) AS size
        WHERE (search_vector(:value) @@ search_query(left(word, size))) IS NOT TRUE
        """
    )

    assert (await connection.scalars(missed, {"value": value})).all() == []


@ONE_TRANSACTION
@given(value=st.one_of(ANY_TEXT, st.text("&|!():*<->'\"\\ a", max_size=20)))
async def test_no_text_is_a_search_that_fails(connection: AsyncConnection, value: str) -> None:
    found = await connection.scalar(text("SELECT search_vector(:value) @@ search_query(:value)"), {"value": value})

    assert found in (True, False, None)
