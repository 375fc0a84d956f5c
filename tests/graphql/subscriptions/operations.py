"""The subscriptions, as tests send them."""

ORDER = "subscription ($id: ID!) { orderUpdated(orderId: $id) { id status items { quantity product { name } } } }"
PRODUCT = "subscription ($id: ID!) { productUpdated(productId: $id) { stock price { amount } } }"
PLACED = "subscription ($id: ID!) { storeOrderPlaced(storeId: $id) { id customer { id } items { quantity } } }"
