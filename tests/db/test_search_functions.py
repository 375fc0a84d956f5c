"""The database's own functions of the search: what they fold away, and that every beginning of a word finds it."""

import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.texts import name_key

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


@pytest.mark.parametrize("function", ["folded", "plain_text", "words_of", "name_key"])
@ONE_TRANSACTION
@given(value=ANY_TEXT)
async def test_what_has_its_plain_form_keeps_it(connection: AsyncConnection, function: str, value: str) -> None:
    twice = f"SELECT {function}(:value) = {function}({function}(:value))"

    assert await connection.scalar(text(twice), {"value": value})


SAME = {
    "case and accents": ("Ørsted Straße", "orsted strasse"),
    "Icelandic": ("Ísafjörður Þór", "isafjordur thor"),
    "decomposed": (unicodedata.normalize("NFD", "Ísafjörður"), "isafjordur"),
    "final sigma": ("Καφές ΚΑΦΕΣ", "καφεσ καφεσ"),
    "apostrophes": ("l’Aquila l‘Aquila lʼAquila l´Aquila l`Aquila", "l'aquila l'aquila l'aquila l'aquila l'aquila"),
    "soft hyphens": ("Do\u00adnau\u00addampf\u00adschiff", "donaudampfschiff"),
    "joiners": ("می\u200cخواهم", "میخواهم"),
    "spaces that don't break": ("10\u00a0kg\u202fnet", "10 kg net"),
    "vowels of Arabic": ("كِتَابٌ أحمد كتــاب", "كتاب احمد كتاب"),
    "vowels of Hebrew": ("שָׁלוֹם", "שלום"),
    "half-width kana": ("ｶﾞﾑ", "ガム"),
    "Hangul": (unicodedata.normalize("NFD", "한국"), "한국"),
}


@pytest.mark.parametrize(("value", "plain"), SAME.values(), ids=SAME)
async def test_texts_that_people_take_for_the_same_are(connection: AsyncConnection, value: str, plain: str) -> None:
    assert await connection.scalar(text("SELECT plain_text(:value)"), {"value": value}) == plain


@pytest.mark.parametrize(("one", "other"), [("カ", "ガ"), ("ハ", "パ"), ("हि", "ही"), ("は", "ば"), ("o'n", "on")])
async def test_other_texts_are_not(connection: AsyncConnection, one: str, other: str) -> None:
    different = text("SELECT plain_text(:one) <> plain_text(:other)")

    assert await connection.scalar(different, {"one": one, "other": other})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("ガム カメラ ムービー", ["ガム", "カメラ", "ムービー"]),
        ("हिन्दी साहित्य।", ["हिन्दी", "साहित्य"]),
        ("கோயம்புத்தூர்", ["கோயம்புத்தூர்"]),
        ("น้ำแข็ง", [unicodedata.normalize("NFKD", "น้ำแข็ง")]),
        ("Cam\u00adera e\u0301clair", ["camera", "eclair"]),
        ("two\u200bwords", ["two", "words"]),
        ("rock’n’roll", ["rock", "n", "roll"]),
    ],
)
async def test_words_are_those_that_people_see(connection: AsyncConnection, value: str, words: list[str]) -> None:
    found = await connection.scalar(text("SELECT words_of(:value)"), {"value": value})

    assert found.split(" ") == [unicodedata.normalize("NFC", word) for word in words]


@ONE_TRANSACTION
@given(value=st.one_of(ANY_TEXT, st.text("aé\u0301e \u00a0\u3000\u200b\u200d\u00ad\ufe0f", max_size=20)))
async def test_python_and_postgres_compare_names_alike(connection: AsyncConnection, value: str) -> None:
    assert await connection.scalar(text("SELECT name_key(:value)"), {"value": value}) == name_key(value)


@pytest.mark.parametrize(
    ("value", "vector"),
    [("Tea tea, green TEA and tea-pot", "'and':5 'green':3 'pot':7 'tea':1"), ("b a b a", "'a':2 'b':1"), ("…", "")],
)
async def test_a_word_stands_where_it_is_first(connection: AsyncConnection, value: str, vector: str) -> None:
    assert await connection.scalar(text("SELECT word_vector(:value)::text"), {"value": value}) == vector


@ONE_TRANSACTION
@given(value=st.one_of(KNOWN_TEXT, LIKE_A_NUMBER_ADDRESS_OR_PATH))
async def test_a_text_is_found_by_every_beginning_of_each_of_its_words(connection: AsyncConnection, value: str) -> None:
    missed = text(
        """
        SELECT left(word, size)
        FROM regexp_split_to_table(words_of(:value), ' ') AS word, generate_series(1, length(word)) AS size
        WHERE (word_vector(:value) @@ word_query(left(word, size))) IS NOT TRUE
        """
    )

    assert (await connection.scalars(missed, {"value": value})).all() == []


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("a " * 250, "'a':*"),
        ("Tea, tea; TEA", "'tea':*"),
        ("green tea", "'green':* & 'tea':*"),
        ("te tea teapot pot", "'teapot':* & 'pot':*"),
        ("one two three four five six seven eight nine ten", "one two three four five six seven eight"),
        ("...", None),
    ],
)
async def test_a_search_asks_for_each_word_once_and_for_few_words(
    connection: AsyncConnection, given: str, asked: str | None
) -> None:
    expected = asked and (asked if "'" in asked else " & ".join(f"'{word}':*" for word in asked.split()))

    assert await connection.scalar(text("SELECT word_query(:value)::text"), {"value": given}) == expected


@ONE_TRANSACTION
@given(value=st.one_of(ANY_TEXT, st.text("&|!():*<->'\"\\ a", max_size=20)))
async def test_no_text_is_a_search_that_fails(connection: AsyncConnection, value: str) -> None:
    found = await connection.scalar(text("SELECT word_vector(:value) @@ word_query(:value)"), {"value": value})

    assert found in (True, False, None)
