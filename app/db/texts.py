"""The one character that no text in the database may hold, and the constraints that see to it.

The compiled path writes QUOTE in place of each quotation mark of its JSON. A text that held QUOTE would let its author
write JSON into the responses of other users, so the database refuses it.
"""

from typing import Any

from sqlalchemy import CheckConstraint, Column, Enum, String, Table
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

QUOTE = "\x7f"
OURS = "ours"
"""Where a column says that only the application's own words are stored there, and no response shows them."""


def readable(sql: str) -> str:
    """Return a statement as people read it."""
    return sql.replace(QUOTE, '"')


def forbid_quote(table: Table) -> None:
    """Add the constraint to every column of the table that stores texts."""
    for column in table.columns:
        if (constraint := constraint_against_quote(column)) is not None:
            table.append_constraint(constraint)


def constraint_against_quote(column: Column[Any]) -> CheckConstraint | None:
    """Return the constraint that keeps QUOTE out of a column; None if the column needs none."""
    kind = column.type.item_type if isinstance(column.type, ARRAY) else column.type
    if column.computed is not None or not isinstance(kind, String) or _is_closed(kind) or column.info.get(OURS):
        return None
    return CheckConstraint(_condition(column), name=f"{column.name}_without_del")


def is_free_of_quote(column: Column[Any]) -> bool:
    """Return whether the database keeps QUOTE out of a column: by the constraint, or because only a few texts fit."""
    checks = (each for each in column.table.constraints if isinstance(each, CheckConstraint))
    return _is_closed(column.type) or _condition(column) in (str(check.sqltext) for check in checks)


def _is_closed(kind: TypeEngine[Any]) -> bool:
    """Return whether the database accepts only certain texts, none of which holds QUOTE."""
    if not isinstance(kind, Enum) or not (kind.native_enum or kind.create_constraint):
        return False
    return not any(QUOTE in text for text in kind.enums)


def _condition(column: Column[Any]) -> str:
    text = f"array_to_string({column.name}, '')" if isinstance(column.type, ARRAY) else column.name
    return f"strpos({text}, chr({ord(QUOTE)})) = 0"
