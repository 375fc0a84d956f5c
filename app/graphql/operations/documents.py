"""The documents that clients send: parsed, checked against the schema and the limits, once; and kept."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    ValidationRule,
    specified_rules,
    validate,
)
from graphql.execution.values import VariableValues
from graphql.validation import MaxIntrospectionDepthRule
from starlette.types import Receive
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from app.clients import Client
from app.graphql.errors import presentable, shortened
from app.graphql.operations.cache import Cache
from app.graphql.operations.cost import Cost, Meter, cost_exceeded, payload_exceeded
from app.graphql.operations.limits import INTROSPECTION, exceeded, limit_exceeded
from app.graphql.operations.parsing import parsed
from app.graphql.operations.trusted import TrustedDocuments
from app.graphql.operations.turns import Turns
from app.graphql.operations.variables import Variables
from app.process.garbage import collected_afterwards
from app.settings import Settings, Trust

_RULES = (*specified_rules, MaxIntrospectionDepthRule, MaybeNullValidationRule, OneOfInputValidationRule)
_DOCUMENTS_KEPT = 500
_INVALID_KEPT = 100
# A few hundred documents of a hundred tokens, with their plans. Twice as much would take twice as long to traverse at a
# garbage collection, which nobody should feel.
_WEIGHT_KEPT = 800_000
_WEIGHT_OF_TOKEN = 10  # in characters: what is parsed of a token takes much more memory than its text
_PLANS_KEPT, _WEIGHT_OF_PLANS_KEPT = 100, 100_000  # of one operation: its variables can have many shapes
_SELECTIONS_KEPT = 200  # of one mutation, which may have twenty fields, each with results of several types
_REST = 0.5  # the event loop accepts one connection in each of its turns, so it needs many between two documents
_TOO_MANY_DIGITS = "integer string conversion"

COST_OF_NOTHING = 10
"""Points for what cannot or must not be executed: finding that out costs as much as a small operation."""


class GraphQLRequest(NamedTuple):
    """What a client sends: a document, the values of its variables, and the name of the operation to execute."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


@dataclass(eq=False)
class ParsedOperation:
    """An operation of a valid document, the fragments that it may use, and what is compiled of it. Compared by
    identity, so that it can be part of a key."""

    document: DocumentNode
    definition: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    meter: Meter
    """Says what it costs, by its variables."""
    variables: Variables

    def __post_init__(self) -> None:
        self.type = self.definition.operation
        self.name = self.definition.name.value if self.definition.name else None
        self.selections: dict[Hashable, Any] = {}
        """What compiles the whole operation, or a selection within."""
        self.reads: dict[Hashable, bool] = {}
        """Of which objects that a mutation returns more is selected than their own row."""
        self.costs: dict[Hashable, int] = {}
        """What compiling each selection of a mutation has cost."""
        self.plans: Cache[Hashable, Any] = Cache(_PLANS_KEPT, _WEIGHT_OF_PLANS_KEPT)
        """What has been compiled of all its selections."""

    def forget_surplus(self) -> None:
        """Forget what is known of the selections of a mutation's results if there are too many: conditions in the
        variables can merge any of them."""
        if max(len(self.selections), len(self.reads)) > _SELECTIONS_KEPT:
            for known in (self.selections, self.reads, self.costs):
                known.clear()

    @cached_property
    def is_about_schema(self) -> bool:
        """Whether it reads nothing but the schema."""
        selected = self.definition.selection_set.selections
        names = {node.name.value if isinstance(node, FieldNode) else "..." for node in selected}
        return names <= INTROSPECTION | {"__typename"} and not names.isdisjoint(INTROSPECTION)

    @cached_property
    def _fixed_cost(self) -> Cost | None:
        return self.meter.of({}) if self.meter.is_fixed else None

    def cost(self, variables: dict[str, Any] | None) -> Cost:
        """Return what it costs with these variables, which nearly always is the same whatever they are."""
        return self._fixed_cost or self.meter.of(variables)


@dataclass(frozen=True)
class Document:
    """A document: its operations by their names, or what is wrong with it."""

    errors: Sequence[GraphQLError] = ()
    operations: Mapping[str | None, ParsedOperation] = field(default_factory=dict)
    own_weight: int = 0
    """The memory it takes, in characters; of an invalid document only the errors are kept."""
    is_trusted: bool = False

    @property
    def weight(self) -> int:
        """The memory that it and what is compiled of it takes, in characters."""
        weight = self.own_weight
        for operation in self.operations.values():
            weight += operation.plans.weight
        return weight

    def operation(self, name: str | None) -> ParsedOperation | None:
        """Return the operation with this name, or the only one; None if there is none."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        return self.operations.get(name) if name else None


class RequestedOperation(NamedTuple):
    """What a request asks for: an operation and its cost, or why it must not be executed."""

    request: GraphQLRequest
    parsed: ParsedOperation | None = None
    variables: VariableValues | None = None
    """As coerced; None if there are errors."""
    cost: Cost | None = None
    errors: Sequence[GraphQLError] = ()
    limit: int = 0
    """The points that it may cost."""

    @property
    def type(self) -> OperationType | None:
        """Query, mutation or subscription; None if there is no such operation."""
        return None if self.parsed is None else self.parsed.type

    @property
    def points(self) -> int:
        """The points to take from the rate limit: the cost, or a few where it must not be executed."""
        return COST_OF_NOTHING if self.cost is None or self.errors else self.cost.points


class OperationRequest(NamedTuple):
    """What a transport knows of one operation before it is parsed."""

    document: GraphQLRequest
    id: str
    address: str
    """The client's network address."""
    client_request_id: str | None = None
    """The client's own id of the request, for the log."""
    authorization: str | None = None
    idempotency_key: str | None = None
    consistency_tokens: Sequence[UUID] = ()
    """What a query must see, as the client has written it."""
    explain: bool = False
    """Whether the client asks for `extensions.explain`."""
    receive: Receive | None = None
    """Reports that the client has disconnected; None if the transport cancels the operation itself."""
    check: Callable[[RequestedOperation], Any] = lambda _: None
    """Raises RequestError for an operation that this transport cannot carry."""
    operation: RequestedOperation | None = None
    """What the document asks for, if that is known."""


_NO_OPERATION = GraphQLError(
    "The document has no such operation. Select one with `operationName` if there are several.",
    extensions={"code": "BAD_USER_INPUT"},
)
_NOT_TRUSTED = Document(
    errors=[GraphQLError("This API executes registered documents only.", extensions={"code": "DOCUMENT_NOT_TRUSTED"})]
)


class Documents:
    """Reads documents."""

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self.trusted = TrustedDocuments(settings.trusted_documents, settings.trusted_documents_file)
        self._schema = schema
        self._settings = settings
        self._rules = _RULES if settings.introspection else (*_RULES, NoIntrospection)
        self._documents: Cache[str, Document] = Cache(_DOCUMENTS_KEPT, _WEIGHT_KEPT)
        # Apart, so that however many there are, they displace none that is valid.
        self._refused: Cache[str, Document] = Cache(_INVALID_KEPT, _WEIGHT_KEPT // 10)
        self._turns = Turns(1, rest=_REST)

    def known(self, request: GraphQLRequest) -> RequestedOperation | None:
        """Return what a request asks for; None if its document hasn't been read, or its cost takes long to compute."""
        text = request.query
        if text not in self._documents and text not in self._refused:
            return None
        document = self.read(text)
        parsed = document.operation(request.operation_name)
        if parsed is None:
            return self._without_operation(request, document)
        variables = parsed.variables.coerced(request.variables or {})
        if isinstance(variables, VariableValues) and parsed.meter.takes_long(request.variables):
            return None
        return self._requested(request, parsed, variables)

    async def read_in_turn(self, request: GraphQLRequest, client: Client) -> None:
        """Read the document of a request, and compute its cost, when it is the client's turn."""
        async with self.turn(client):
            with suppress(Exception):  # whatever is wrong, it is found again, and reported, when the operation runs
                self.requested(request)

    def turn(self, client: Client) -> AbstractAsyncContextManager[None]:
        """Wait for a client's turn to read or compile a document, either of which keeps everyone waiting for up to
        50 ms. However many arrive together, other requests are answered in between, and clients alternate."""
        return self._turns.taken(self._turns.request(client))

    def read(self, text: str) -> Document:
        """Return the document that a client sent, with its errors if it has any."""
        if self._settings.trusted_documents is Trust.REQUIRE and not self.trusted.includes(text):
            return _NOT_TRUSTED
        if (known := self._documents.find(text)) is not None:
            self._documents.weigh(text, known.weight)  # more has been compiled of it since
            return known
        if (refused := self._refused.find(text)) is not None:
            return refused
        with collected_afterwards():
            document = self._read(text)
        kept = self._refused if document.errors else self._documents
        kept.add(text, document, document.weight, pin=document.is_trusted)
        return document

    def requested(self, request: GraphQLRequest) -> RequestedOperation:
        """Return what a request asks for."""
        document = self.read(request.query)
        parsed = document.operation(request.operation_name)
        if parsed is None:
            return self._without_operation(request, document)
        return self._requested(request, parsed, parsed.variables.coerced(request.variables or {}))

    def _without_operation(self, request: GraphQLRequest, document: Document) -> RequestedOperation:
        return RequestedOperation(request, errors=document.errors or (_NO_OPERATION,))

    def _requested(
        self, request: GraphQLRequest, parsed: ParsedOperation, variables: VariableValues | list[GraphQLError]
    ) -> RequestedOperation:
        if isinstance(variables, list):  # they may have any number of fields, so their cost isn't computed
            errors = [_kept(presentable(error, "")) for error in variables]
            variables.clear()  # the stack that an error was raised from holds it, too
            return RequestedOperation(request, parsed, errors=errors)
        cost, limit = parsed.cost(request.variables), self._limit_of(parsed.type)
        too_much = self._costs_too_much(cost, limit, parsed.type)
        return RequestedOperation(request, parsed, variables, cost, too_much, limit)

    def _limit_of(self, type_: OperationType) -> int:
        settings = self._settings
        if type_ is OperationType.SUBSCRIPTION:
            return min(settings.cost_limit, settings.subscription_cost_limit)
        return settings.cost_limit

    def _costs_too_much(self, cost: Cost, limit: int, type_: OperationType) -> Sequence[GraphQLError]:
        payload_limit = self._settings.payload_cost_limit
        if cost.points > limit:
            return (cost_exceeded(cost.points, limit),)
        of_payload = cost.reads + cost.looks
        if type_ is OperationType.MUTATION and of_payload > payload_limit:
            return (payload_exceeded(of_payload, payload_limit),)
        return ()

    def _read(self, text: str) -> Document:
        try:
            limit = self._settings.token_limit
            ast, tokens = parsed(text, limit)
        except GraphQLSyntaxError as error:
            error.extensions = {"code": "GRAPHQL_PARSE_FAILED"}
            if "contains more than" in error.message:
                message = f"A document may contain at most {limit:,} tokens."
                return Document(errors=[limit_exceeded("TOKEN", message, limit + 1, limit)], own_weight=len(text))
            return Document(errors=[_kept(error)], own_weight=len(text))
        weight = len(text) + _WEIGHT_OF_TOKEN * tokens
        errors = [*exceeded(ast, self._settings)] or self._invalid(ast)
        if errors:
            return Document(errors=[_kept(error) for error in errors], own_weight=len(text))
        fragments = {node.name.value: node for node in ast.definitions if isinstance(node, FragmentDefinitionNode)}
        operations = [
            ParsedOperation(ast, node, fragments, Meter(self._schema, node, fragments), self._variables_of(node))
            for node in ast.definitions
            if isinstance(node, OperationDefinitionNode)
        ]
        named = {operation.name: operation for operation in operations}
        return Document(operations=named, own_weight=weight, is_trusted=self.trusted.includes(text))

    def _variables_of(self, node: OperationDefinitionNode) -> Variables:
        most, hides = self._settings.validation_error_limit, not self._settings.introspection
        return Variables(self._schema, node, most_errors=most, hide_suggestions=hides)

    def _invalid(self, ast: DocumentNode) -> list[GraphQLError]:
        most, hides = self._settings.validation_error_limit, not self._settings.introspection
        errors = validate(self._schema, ast, self._rules, max_errors=most, hide_suggestions=hides)
        for error in errors:
            error.extensions = {"code": "GRAPHQL_VALIDATION_FAILED", **(error.extensions or {})}
        return errors[:most]


class NoIntrospection(ValidationRule):
    """Rejects introspection, except `__typename`, which clients need."""

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        """Check a field."""
        if node.name.value in INTROSPECTION:
            message = "Introspection is disabled. Ask the operator of this API for its schema."
            self.report_error(GraphQLError(message, node, extensions={"code": "INTROSPECTION_DISABLED"}))


def _kept(error: GraphQLError) -> GraphQLError:
    """Return the error without the document that it points to, and the stack that it was raised from."""
    message = shortened(error.message)
    if _TOO_MANY_DIGITS in message:  # Python's message
        message = "Int cannot represent a number with so many digits."
    kept = GraphQLError(message, extensions=error.extensions)
    kept.locations = error.locations
    return kept
