"""Disabled introspection; `hide_suggestions` keeps error messages from revealing the schema as well."""

from typing import Any

from graphql import FieldNode, GraphQLError, ValidationRule

CODE = "INTROSPECTION_DISABLED"


class NoIntrospection(ValidationRule):
    """Rejects introspection, except `__typename`, which clients need."""

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        """Check a field."""
        if node.name.value in ("__schema", "__type"):
            message = "Introspection is disabled. Ask the operator of this API for its schema."
            self.report_error(GraphQLError(message, node, extensions={"code": CODE}))
