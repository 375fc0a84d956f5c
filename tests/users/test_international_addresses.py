"""Email addresses whose domain isn't in ASCII."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import User
from tests.api import Api
from tests.market import Market
from tests.users.operations import ADA, log_in, sign_up, value
from tests.users.test_update_user import update

UNICODE, PUNYCODE = "ada@bücher.example", "ada@xn--bcher-kva.example"


async def test_the_domain_is_stored_in_punycode(api: Api, connection: AsyncConnection) -> None:
    session = (await sign_up(api, email="Ada@BÜCHER.example"))["session"]

    assert session["user"]["email"] == PUNYCODE
    assert await value(connection, select(User.email)) == PUNYCODE
    for email in (UNICODE, PUNYCODE):
        assert (await log_in(api, email, ADA["password"]))["__typename"] == "LogInSuccess"
        assert (await sign_up(api, email=email))["code"] == "EMAIL_TAKEN"


async def test_an_account_that_2_0_0_kept_in_unicode_can_log_in_and_is_unique(api: Api, market: Market) -> None:
    await market.user(email=UNICODE)
    other = await market.user()

    for email in (UNICODE, PUNYCODE):
        assert (await log_in(api, email))["__typename"] == "LogInSuccess"
        assert (await sign_up(api, email=email))["code"] == "EMAIL_TAKEN"
        changed = await update(api, other, email=email)
        assert changed["code"] == "EMAIL_TAKEN"


async def test_its_user_may_write_the_address_anew(api: Api, market: Market) -> None:
    user = await market.user(email=UNICODE)

    changed = await update(api, user, email=UNICODE)

    assert changed["user"]["email"] == PUNYCODE


async def test_an_account_with_a_longer_local_part_than_new_ones_may_have_can_log_in(api: Api, market: Market) -> None:
    await market.user(email=f"{'x' * 65}@example.com")

    assert (await log_in(api, f"{'x' * 65}@example.com"))["__typename"] == "LogInSuccess"
