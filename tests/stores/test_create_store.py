"""Opening a store, and what its fields may hold."""

from time import process_time
from typing import Any

import pytest
from sqlalchemy import func, select

from app.contacts import normalized_phone
from app.db.models import Store
from tests.api import Api
from tests.market import Market, gid
from tests.stores.operations import CREATE_STORE, NEW_STORE, create, names


async def test_a_user_opens_a_store_of_their_own(api: Api, market: Market) -> None:
    user = await market.user()

    store = (await create(api, user, domain="tea.example.com", phone="+49 30 1234567"))["store"]

    assert store.pop("id").startswith("Store_")
    assert store == {
        **NEW_STORE,
        "domain": "tea.example.com",
        "phone": "+49 30 1234567",
        "version": 1,
        "deletedAt": None,
        "owner": {"id": gid(user)},
    }
    assert await names(api) == ["Tea House"]


@pytest.mark.parametrize("values", [{}, {"domain": None, "phone": None}])
async def test_domain_and_phone_are_optional(api: Api, market: Market, values: dict[str, None]) -> None:
    store = (await create(api, await market.user(), **values))["store"]

    assert (store["domain"], store["phone"]) == (None, None)


async def test_nobody_opens_no_store(api: Api) -> None:
    error = await api.error(CREATE_STORE, {"input": NEW_STORE})

    assert error["code"] == "UNAUTHENTICATED"
    assert await names(api) == []


async def test_a_second_store_of_the_same_name_is_a_conflict(api: Api, market: Market) -> None:
    user = await market.user()
    await market.store(user, name="Tea House")

    assert await create(api, user, name=" Tea House ") == {
        "__typename": "Conflict",
        "path": ["input", "name"],
        "code": "STORE_NAME_TAKEN",
        "message": "You already have a store with this name.",
    }
    assert await names(api) == ["Tea House"]


async def test_a_store_of_another_user_may_have_the_same_name(api: Api, market: Market) -> None:
    await market.store(name="Tea House")

    assert (await create(api, await market.user()))["__typename"] == "CreateStoreSuccess"


async def test_the_name_and_domain_of_a_deleted_store_are_free_again(api: Api, market: Market) -> None:
    user = await market.user()
    await market.store(user, name="Tea House", domain="tea.example.com", deleted_at=func.now())

    assert (await create(api, user, domain="tea.example.com"))["__typename"] == "CreateStoreSuccess"


@pytest.mark.parametrize("domain", ["tea.example.com", "TEA.Example.com", " tea.example.com "])
async def test_a_domain_is_unique_among_all_stores_whatever_its_case(api: Api, market: Market, domain: str) -> None:
    await market.store(domain="tea.example.com")

    assert await create(api, await market.user(), domain=domain) == {
        "__typename": "Conflict",
        "path": ["input", "domain"],
        "code": "STORE_DOMAIN_TAKEN",
        "message": "Another store already uses this domain.",
    }


async def test_stores_without_a_domain_are_no_conflict(api: Api, market: Market) -> None:
    await market.store(domain=None)

    assert (await create(api, await market.user()))["__typename"] == "CreateStoreSuccess"


async def test_every_wrong_field_is_told_at_once_by_its_path(api: Api, market: Market) -> None:
    wrong = {
        "name": "",
        "street": " ",
        "city": "Ber\nlin",
        "country": "Germany",
        "postcode": "x" * 256,
        "currency": "euros",
        "domain": "https://example.com",
        "phone": "call me",
    }

    answer = await create(api, await market.user(), **wrong)

    assert answer["__typename"] == "InvalidInput"
    assert answer["issues"] == [
        {"path": ["input", field], "code": code, "message": message}
        for field, code, message in (
            ("name", "EMPTY", "must not be empty"),
            ("street", "EMPTY", "must not be empty"),
            ("city", "CONTROL_CHARACTERS", "must not contain control characters"),
            ("country", "MALFORMED", "must be a country of ISO 3166-1 alpha-2, such as DE"),
            ("postcode", "TOO_LONG", "must have at most 255 characters"),
            ("currency", "MALFORMED", "must be a currency of ISO 4217, such as EUR"),
            ("domain", "MALFORMED", "must be a domain name, such as shop.example.com"),
            ("phone", "MALFORMED", "must be a phone number, such as +49 30 1234567"),
        )
    ]
    assert all(f"{field} must" in answer["message"] for field in wrong)
    assert await names(api) == []


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("name", "  Tea House\t", "Tea House"),
        ("street", " Main Street 1 ", "Main Street 1"),
        ("postcode", " 10115", "10115"),
        ("city", "Berlin\n", "Berlin"),
        ("country", " de ", "DE"),
        ("country", "At", "AT"),
        ("currency", "chf", "CHF"),
        ("currency", " EUR ", "EUR"),
        ("domain", " Shop.Example.COM ", "shop.example.com"),
        ("domain", "xn--mller-kva.de", "xn--mller-kva.de"),
        ("domain", "Müller.de", "xn--mller-kva.de"),
        ("domain", "xn--mller-kva.DE", "xn--mller-kva.de"),
        ("domain", "例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("phone", " (030) 123-45/67 ", "(030) 123-45/67"),
        ("phone", "+1 (212) 555-0100 x12", "+1 (212) 555-0100 x12"),
        ("phone", "+49 30 1234567 ext. 12", "+49 30 1234567 ext. 12"),
        ("phone", "1-800-FLOWERS", "1-800-FLOWERS"),
        ("phone", "+1\u00a0212\u2011555\u20110100", "+1 212-555-0100"),
        ("phone", "０３-１２３４-５６７８", "03-1234-5678"),
        ("phone", "011 345 6789", "011 345 6789"),
        ("phone", "+٤٩ ٣٠ ١٢٣٤٥٦٧", "+49 30 1234567"),
        ("phone", "(+49) 30/123 - 4567", "(+49) 30/123 - 4567"),
        ("phone", "+44 (0) 20 7946 0018", "+44 (0) 20 7946 0018"),
        ("phone", "+1 212 555 0100;ext=12", "+1 212 555 0100;ext=12"),
        ("phone", "030 1234567, Ext 12", "030 1234567, Ext 12"),
        ("phone", "030 1234567,,12#", "030 1234567,,12#"),
        ("phone", "1-800-GO-FEDEX", "1-800-GO-FEDEX"),
        ("postcode", "SW1A\u00a01AA", "SW1A 1AA"),
        ("postcode", "123\u20114567", "123-4567"),
        ("name", "\u0915\u093f", "\u0915\u093f"),
        ("name", "각" * 255, "각" * 255),
        ("name", "Cafe\u0301", "Caf\u00e9"),
        ("street", "Rue de l\u2019E\u0301glise", "Rue de l\u2019\u00c9glise"),
        ("postcode", "SW1A 1AA", "SW1A 1AA"),
        ("name", "x" * 255, "x" * 255),
        ("name", "Łódź 🍵", "Łódź 🍵"),
    ],
)
async def test_values_are_normalised(api: Api, market: Market, field: str, given: str, kept: str) -> None:
    store = (await create(api, await market.user(), **{field: given}))["store"]

    assert store[field] == kept
    assert await market.session.scalar(select(getattr(Store, field))) == kept


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", "Tea\0House"),
        ("name", "Tea\x1bHouse"),
        ("name", "Tea\x85House"),
        ("name", "x" * 256),
        ("name", "\u200b"),
        ("name", " \u00ad\u2060\ufeff\u3164\u2800 "),
        ("name", "Tea\u2028House"),
        ("name", "Tea\u2029House"),
        ("name", "e\u0301" * 256),
        ("street", "Main\0"),
        ("street", "\u200d"),
        ("name", "\u0301"),
        ("name", "\ufff9\ufffb"),
        ("name", "\U0001d159"),
        ("name", "\U00016fe4"),
        ("name", "\ufffe"),
        ("name", "\ufdd0"),
        ("name", "\U0010ffff"),
        ("name", "ﷺ" * 252),
        ("postcode", "_"),
        ("postcode", "a_b"),
        ("postcode", "????"),
        ("postcode", "-"),
        ("postcode", "\u200b"),
        ("postcode", "\x07"),
        ("city", "x" * 256),
        ("country", "DEU"),
        ("country", "XX"),
        ("country", ""),
        ("country", "D\0"),
        ("currency", "XXX"),
        ("currency", "EU"),
        ("currency", "€"),
        ("domain", ""),
        ("domain", "localhost"),
        ("domain", "xn--a.de"),
        ("domain", "shop.XN--A.de"),
        ("domain", "xn--.de"),
        ("domain", "-a.example.com"),
        ("domain", "a b.example.com"),
        ("domain", "example.com/shop"),
        ("domain", "x" * 64 + ".com"),
        ("domain", "a\0.example.com"),
        ("domain", "bü cher.example"),
        ("domain", "ü" * 64 + ".example"),
        ("domain", "ü" * 5_000),
        ("domain", "bücher"),
        ("phone", ""),
        ("phone", "+"),
        ("phone", "12"),
        ("phone", "1(((((((("),
        ("phone", "1234~~~~"),
        ("phone", "1234 [[[["),
        ("phone", "1234 *****"),
        ("phone", "12345,,,,123"),
        ("phone", "1234_____"),
        ("phone", "1 000 bananas 99"),
        ("phone", "++49301234567"),
        ("phone", "--------"),
        ("phone", "+999 1234567"),
        ("phone", "+49 1"),
        ("phone", "1234567 <script>"),
        ("phone", "030 1234567 or 030 7654321"),
        ("phone", "1" * 40),
        ("phone", "+49 30\0 1234567"),
        ("phone", "+49 30 1234567\nX-Header: 1"),
    ],
)
async def test_what_breaks_a_rule_is_refused(api: Api, market: Market, field: str, given: str) -> None:
    answer = await create(api, await market.user(), **{field: given})

    assert answer["__typename"] == "InvalidInput"
    assert [issue["path"] for issue in answer["issues"]] == [["input", field]]


@pytest.mark.parametrize("country", ["HK", "AE", "IE"])
@pytest.mark.parametrize("given", [{}, {"postcode": None}], ids=["omitted", "null"])
async def test_a_country_without_postcodes_needs_none(
    api: Api, market: Market, country: str, given: dict[str, None]
) -> None:
    without = {name: value for name, value in NEW_STORE.items() if name != "postcode"}
    input = {**without, "country": country, **given}

    answer = await api.data(CREATE_STORE, {"input": input}, user=await market.user())

    assert answer["createStore"]["store"]["postcode"] == ""


async def test_other_countries_need_a_postcode(api: Api, market: Market) -> None:
    answer = await create(api, await market.user(), postcode=None, name="")

    assert [(issue["path"], issue["code"]) for issue in answer["issues"]] == [
        (["input", "name"], "EMPTY"),
        (["input", "postcode"], "REQUIRED"),
    ]


@pytest.mark.parametrize("field", ["country", "currency"])
@pytest.mark.parametrize("given", [276, 9.78, True, ["DE"], {"code": "DE"}])
async def test_a_code_that_is_no_text_is_refused(api: Api, market: Market, field: str, given: Any) -> None:
    error = await api.error(CREATE_STORE, {"input": {**NEW_STORE, field: given}}, user=await market.user())

    assert error["code"] == "BAD_USER_INPUT"
    assert f"invalid value at .{field}: " in error["message"]
    assert await names(api) == []


@pytest.mark.parametrize("field", [field for field in NEW_STORE if field != "postcode"])
async def test_what_a_store_must_have_cannot_be_left_out(api: Api, market: Market, field: str) -> None:
    given: dict[str, Any] = {name: value for name, value in NEW_STORE.items() if name != field}

    response = await api.send(CREATE_STORE, {"input": given}, user=await market.user())

    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert field in error["message"]


@pytest.mark.parametrize("text", ["1 " * 24 + "!", "1) " * 16 + "!", "1" + " a" * 24 + "!", "1    " * 9 + "!"])
def test_what_is_nearly_a_phone_number_is_refused_at_once(text: str) -> None:
    began = process_time()

    assert normalized_phone(text) is None
    assert process_time() - began < 0.5
