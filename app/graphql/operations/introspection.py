"""A schema that is not told to those who ask for it; `hide_suggestions` keeps it from those who guess."""

from typing import Any

from graphql import FieldNode, GraphQLError, ValidationRule

CODE = "INTROSPECTION_DISABLED"


class NoIntrospection(ValidationRule):
    """Refuses to tell of the schema; `__typename` is told, for clients need it."""

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        """Look at a field."""
        if node.name.value in ("__schema", "__type"):
            message = "The schema is not told here; ask those who run this API for it."
            self.report_error(GraphQLError(message, node, extensions={"code": CODE}))
