"""Types that refer to each other across domains, by name: the one place where such a circle is tied."""

from typing import TYPE_CHECKING, Annotated

import strawberry

if TYPE_CHECKING:
    from app.orders.types import Order as Order
    from app.orders.types import StoreOrder as StoreOrder
    from app.products.types import Product as Product
    from app.stores.types import Store as Store
    from app.users.types import User as User
else:
    Order = Annotated["Order", strawberry.lazy("app.orders.types")]
    StoreOrder = Annotated["StoreOrder", strawberry.lazy("app.orders.types")]
    Product = Annotated["Product", strawberry.lazy("app.products.types")]
    Store = Annotated["Store", strawberry.lazy("app.stores.types")]
    User = Annotated["User", strawberry.lazy("app.users.types")]
