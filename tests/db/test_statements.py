"""A prepared statement sends the values that it has bound as the driver takes them."""

from uuid import UUID

from sqlalchemy import bindparam, select

from app.db.models import Order, OrderStatus, Product
from app.db.statements import Prepared

KEY = UUID(int=7)


def test_the_elements_of_an_in_are_sent_each() -> None:
    statuses = [OrderStatus.PLACED, OrderStatus.CANCELLED]
    statement = Prepared(select(Order.id).where(Order.status.in_(statuses), Order.customer_id == KEY))
    assert "IN ($2" in statement.sql
    assert [*map(str, statement.arguments({}))] == [str(KEY), "PLACED", "CANCELLED"]


def test_values_of_a_call_come_in_the_order_of_the_parameters() -> None:
    statement = Prepared(select(Product.id).where(Product.stock == bindparam("stock"), Product.name == "Lamp"))
    assert sorted(map(str, statement.arguments({"stock": 3}))) == ["3", "Lamp"]
    assert statement.arguments({"stock": None}).count(None) == 1
