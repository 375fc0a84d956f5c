"""What the search finds: words by their beginnings, without regard to case and accents, in name and description."""

from datetime import UTC, datetime

import pytest

from tests.api import Api
from tests.market import Market, gid
from tests.products.catalogue import NAMES, names, names_in_store


@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("Café crème", "cafe creme"),
        ("Cafe creme", "CAFÉ crème"),
        ("Straße", "strasse"),
        ("Strasse", "STRAẞE"),
        ("Smørrebrød", "smorrebrod"),
        ("SMORREBROD", "smørrebrød"),
        ("Łódź", "lodz"),
        ("Lodz", "łódź"),
        ("Œuvre", "oeuvre"),
        ("Aeble", "Æble"),
        ("Zoe\u0308", "zoë"),
        ("Zoë", "zoe\u0308"),
        ("\ufb01ne", "fine"),
        ("Ψωμί", "ψωμι"),
        ("Ёлка", "елка"),
        ("Καφές", "ΚΑΦΕΣ"),
        ("ΚΑΦΕΣ", "καφές"),
        ("Ísafjörður", "I\u0301safjo\u0308rður"),
        ("I\u0301safjo\u0308rður", "isafjordur"),
        ("كِتَاب", "كتاب"),
        ("كتاب", "كِتَاب"),
        ("Do\u00adnau\u00addampfer", "donaudampfer"),
        ("Donaudampfer", "Donau\u00addampfer"),
        ("L’Oréal", "l'oreal"),
        ("Компʼютер", "комп’ютер"),
        ("ガム", "ｶﾞﾑ"),
        ("हिन्दी", "हिन्दी"),
    ],
)
async def test_case_and_accents_do_not_count_on_either_side(api: Api, market: Market, name: str, search: str) -> None:
    await market.product(name=name)
    await market.product(name="Something else")

    assert await names(api, {"search": search}) == [name]


@pytest.mark.parametrize(
    ("name", "search"), [("カメラ ムービー", "ガム"), ("カメラ", "ガ"), ("हिम नदी", "हिन्दी"), ("パン", "ハ")]
)
async def test_a_mark_that_makes_another_letter_counts(api: Api, market: Market, name: str, search: str) -> None:
    await market.product(name=name)

    assert await names(api, {"search": search}) == []


@pytest.mark.parametrize("search", ["lamp", "l", "lampsha", "Lampshade"])
async def test_a_word_is_found_by_its_beginning(api: Api, market: Market, search: str) -> None:
    await market.product(name="Red lampshade")

    assert await names(api, {"search": search}) == ["Red lampshade"]


@pytest.mark.parametrize("search", ["shade", "lampshades", "ed"])
async def test_a_word_is_found_by_its_beginning_only(api: Api, market: Market, search: str) -> None:
    await market.product(name="Red lampshade")

    assert await names(api, {"search": search}) == []


async def test_every_word_must_be_there_in_any_order(api: Api, market: Market) -> None:
    await market.product(name="Red lamp")
    await market.product(name="Red chair")
    await market.product(name="Blue lamp")

    assert await names(api, {"search": "la re"}) == ["Red lamp"]


async def test_words_are_looked_for_in_name_and_description_together(api: Api, market: Market) -> None:
    await market.product(name="Lamp", description="Made of brass.")
    await market.product(name="Lamp", description="Made of wood.")
    await market.product(name="Chair", description=None)

    assert await names(api, {"search": "brass lamp"}) == ["Lamp"]


@pytest.mark.parametrize("search", ["t-shirt", "shirt t", "(XL)", "100%", "xl,cotton", "100% & cotton!", "'cotton'"])
async def test_punctuation_separates_words_and_is_nothing_else(api: Api, market: Market, search: str) -> None:
    await market.product(name="T-Shirt (XL): 100% cotton")

    assert await names(api, {"search": search}) == ["T-Shirt (XL): 100% cotton"]


@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("1e5 volts", "1e"),
        ("Article 007", "00"),
        ("Pi is 3.14", "3.1"),
        ("10:30 train", "10:3"),
        ("snake_case", "case"),
        ("me@example.com", "example"),
        ("me@example.com", "me@ex"),
        ("https://example.com/lamp?a=b", "lamp"),
        ("x86-64", "x86-6"),
        ("/usr/bin", "/bin"),
    ],
)
async def test_numbers_addresses_and_paths_are_words_like_any_other(
    api: Api, market: Market, name: str, search: str
) -> None:
    await market.product(name=name)

    assert await names(api, {"search": search}) == [name]


@pytest.mark.parametrize("search", [None, "", "   ", "\t\n", "\u3000"])
async def test_a_blank_search_filters_nothing(api: Api, market: Market, search: str | None) -> None:
    await market.product(name="Lamp")

    assert await names(api, {"search": search}) == ["Lamp"]


@pytest.mark.parametrize("search", ["&", "!!!", "—", "'", "\\", ":*", "()", "$1", "%", "\ufffd"])
async def test_a_search_for_punctuation_finds_no_word(api: Api, market: Market, search: str) -> None:
    await market.product(name="Lamp & 'chair' — \\ :* () % \ufffd")

    assert await names(api, {"search": search}) == []


@pytest.mark.parametrize(
    "search",
    [
        "!lamp",
        "lamp:*",
        "'lamp",
        "lamp'",
        "lamp''",
        '"lamp"',
        "lamp\\",
        "\\lamp",
        "(lamp",
        "lamp &",
        "lamp <->",
        "lamp | red",
    ],
)
async def test_an_operator_of_the_search_language_is_punctuation(api: Api, market: Market, search: str) -> None:
    await market.product(name="Red lamp")
    await market.product(name="Red chair")

    assert await names(api, {"search": search}) == ["Red lamp"]


@pytest.mark.parametrize("search", ["lamp | chair", "lamp or chair", "lamp -red"])
async def test_a_search_has_no_alternatives_and_no_exclusions(api: Api, market: Market, search: str) -> None:
    await market.product(name="Lamp")
    await market.product(name="Chair")

    assert await names(api, {"search": search}) == []


@pytest.mark.parametrize("search", ["lamp\0", "\0", "x" * 501])
async def test_a_search_for_what_is_no_text_is_refused(api: Api, search: str) -> None:
    error = await api.error(NAMES, {"filter": {"search": search}})

    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argumentPath": ["filter", "search"]}


async def test_a_deleted_product_is_not_found(api: Api, market: Market) -> None:
    await market.product(name="Lamp", deleted_at=datetime(2026, 1, 1, tzinfo=UTC))

    assert await names(api, {"search": "lamp"}) == []


async def test_a_store_is_searched_for_its_own_products(api: Api, market: Market) -> None:
    store = await market.store()
    await market.product(store, name="Red lamp")
    await market.product(store, name="Red chair")
    await market.product(name="Blue lamp")

    assert await names_in_store(api, gid(store), {"search": "lamp"}) == ["Red lamp"]


@pytest.mark.parametrize(
    ("name", "description", "search"),
    [
        ("Lamp", "A lamp.", "lamp"),
        ("Lamp", "Lamp, lamp, lamp, lamp and lamp.", "lamp"),
        ("Lamp", "Lamps, lampshades, lampions and lamplight.", "lamp"),
        ("Red lamp", "Red lamp, red lamp, red lamp, red lamp.", "red lamp"),
        ("Red and blue and green and yellow and white lamp", "Red lamp.", "red lamp"),
    ],
)
async def test_words_in_the_name_rank_above_words_in_the_description(
    api: Api, market: Market, name: str, description: str, search: str
) -> None:
    store = await market.store()
    await market.product(store, name="Thing", description=description)
    await market.product(store, name=name)

    assert await names(api, {"search": search}) == [name, "Thing"]
    assert await names_in_store(api, gid(store), {"search": search}) == [name, "Thing"]


async def test_repeating_a_word_does_not_raise_the_rank(api: Api, market: Market) -> None:
    await market.product(name="Stuffed", description="Lamp of brass. " + "Lamp, brass, " * 100)
    await market.product(name="Plain", description="Lamp of brass.")

    assert await names(api, {"search": "lamp brass"}) == ["Plain", "Stuffed"]  # the newest first


async def test_an_order_asked_for_stands_above_the_rank(api: Api, market: Market) -> None:
    await market.product(name="A thing", description="A lamp.")
    await market.product(name="Lamp")

    found = await names(api, {"search": "lamp"}, {"field": "NAME"})

    assert found == ["A thing", "Lamp"]


async def test_the_search_follows_a_change_of_the_text(api: Api, market: Market) -> None:
    product = await market.product(name="Lamp", description="of brass")
    product.name, product.description = "Chair", None
    await market.add(product)

    assert await names(api, {"search": "lamp"}) == []
    assert await names(api, {"search": "brass"}) == []
    assert await names(api, {"search": "chair"}) == ["Chair"]
