"""The examples do what they are examples of."""
