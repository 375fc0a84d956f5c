"""Writes migrations that block nobody: what takes long runs outside a transaction, in a migration of its own."""

from collections.abc import Sequence
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op, renderers
from alembic.autogenerate.rewriter import Rewriter
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.util import rev_id

from app.db.models import Base
from app.db.texts import constraint_against_quote

Operations = list[ops.MigrateOperation]
_constrained = Rewriter()
_CONVENTION = str(Base.metadata.naming_convention["ck"])


class Autocommit(ops.MigrateOperation):
    """Operations that commit one by one, and can be repeated."""

    def __init__(self, operations: Operations) -> None:
        self.operations = operations


@renderers.dispatch_for(Autocommit)
def render(context: AutogenContext, block: Autocommit) -> list[str]:
    """Return the lines of the block; the empty one ends its indentation."""
    lines = [line for operation in block.operations for line in render_op(context, operation)]
    return ["with op.get_context().autocommit_block():", *lines, ""]


@_constrained.rewrites(ops.AddColumnOp)
def constrain_texts(_context: Any, _revision: Any, operation: ops.AddColumnOp) -> Operations:
    """Write the constraint of a new column that stores texts, which Alembic would only write for a new table."""
    constraint = constraint_against_quote(operation.column)
    if constraint is None:
        return [operation]
    check = ops.CreateCheckConstraintOp(constraint.name, operation.table_name, str(constraint.sqltext))
    return [operation, check]


def write(context: MigrationContext, revision: Any, scripts: list[ops.MigrationScript]) -> None:
    """Rewrite what Alembic is about to write. What takes long follows in a second migration, so that neither has to
    undo or repeat what the other has done."""
    _constrained(context, revision, scripts)
    scripts[:] = [each for script in scripts for each in _split(script)]


def _split(script: ops.MigrationScript) -> Sequence[ops.MigrationScript]:
    """Return the script, or what it does at once, and what takes long."""
    if script.upgrade_ops is None or script.downgrade_ops is None:
        return [script]
    up, down = _slow(script.upgrade_ops, validates=True), _slow(script.downgrade_ops, validates=False)
    if not up and not down:
        return [script]
    upgrade_ops, downgrade_ops = ops.UpgradeOps(_block(up)), ops.DowngradeOps(_block(down))
    if script.upgrade_ops.is_empty() and script.downgrade_ops.is_empty():
        script.upgrade_ops, script.downgrade_ops = upgrade_ops, downgrade_ops
        return [script]
    second = ops.MigrationScript(
        rev_id(), upgrade_ops, downgrade_ops, message=f"{script.message}: the slow part", head=str(script.rev_id)
    )
    return [script, second]


def _block(operations: Operations) -> Operations:
    """Return the operations with those on indexes last, as only they can't run in a transaction."""
    validations = [each for each in operations if isinstance(each, ops.ExecuteSQLOp)]
    indexes = [each for each in operations if each not in validations]
    return [*validations, *([Autocommit(indexes)] if indexes else [])]


def _slow(container: ops.OpContainer, *, validates: bool) -> Operations:
    """Take the operations on existing tables that take long out of the container, and return them."""
    new = {each.table_name for each in container.ops if isinstance(each, ops.CreateTableOp | ops.DropTableOp)}
    found: Operations = []
    for tables in [each for each in container.ops if isinstance(each, ops.ModifyTableOps)]:
        if tables.table_name in new:
            continue
        for operation in [*tables.ops]:
            if isinstance(operation, ops.CreateIndexOp | ops.DropIndexOp):
                tables.ops.remove(operation)
                found.append(_concurrent(operation))
            elif validates and isinstance(operation, ops.CreateCheckConstraintOp | ops.CreateForeignKeyOp):
                operation.kw["postgresql_not_valid"] = True
                found.append(_validation(operation))
        if not tables.ops:
            container.ops.remove(tables)
    return found


def _concurrent(operation: ops.CreateIndexOp | ops.DropIndexOp) -> ops.MigrateOperation:
    operation.kw["postgresql_concurrently"] = True
    if isinstance(operation, ops.CreateIndexOp):
        operation.if_not_exists = True
    else:
        operation.if_exists = True
    return operation


def _validation(operation: ops.CreateCheckConstraintOp | ops.CreateForeignKeyOp) -> ops.MigrateOperation:
    """Return the validation of a constraint, which reads the table while others write it."""
    if isinstance(operation, ops.CreateForeignKeyOp):
        table, name = operation.source_table, str(operation.constraint_name)
    else:
        table = operation.table_name
        name = _CONVENTION % {"table_name": table, "constraint_name": operation.constraint_name}
    return ops.ExecuteSQLOp(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
