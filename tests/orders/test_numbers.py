"""Numbers of orders: as the application makes them, as the database makes those of 1.0.0, and as people write them."""

import re

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.orders.numbers import new_number, normalized_number, number_of

FORM = re.compile("[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}")


def test_a_new_number_is_random_and_has_no_letter_that_is_mistaken_for_another() -> None:
    numbers = {new_number() for _ in range(1_000)}

    assert len(numbers) == 1_000
    assert all(FORM.fullmatch(number) for number in numbers)
    letters = set("".join(numbers)) - {"-"}
    assert len(letters) == 32


async def test_the_database_makes_numbers_of_the_same_form(connection: AsyncConnection) -> None:
    made = text("SELECT order_number() FROM generate_series(1, 1000)")
    numbers = set(await connection.scalars(made))

    assert len(numbers) == 1_000
    assert all(FORM.fullmatch(number) for number in numbers)
    assert len(set("".join(numbers)) - {"-"}) == 32


def test_a_number_that_was_made_is_in_its_normal_form() -> None:
    number = number_of(bytes(range(8)))

    assert number == "0123-4567"
    assert normalized_number(number) == number


@pytest.mark.parametrize("written", ["0l1o-km3x", " OI10 KM3X ", "0110km3x", "0110–KM3X"])
def test_a_number_is_understood_as_people_write_it(written: str) -> None:
    assert normalized_number(written) == "0110-KM3X"
