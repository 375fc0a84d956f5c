"""The documents that clients send: parsed, checked against the schema and the limits, once; and kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import MaxIntrospectionDepthRule
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from app.graphql.operations.cache import Cache
from app.graphql.operations.cost import Cost, cost_exceeded
from app.graphql.operations.introspection import NoIntrospection
from app.graphql.operations.limits import Limits, exceeded, limit_exceeded
from app.graphql.operations.trusted import TrustedDocuments
from app.settings import Trust

_RULES = (*specified_rules, MaxIntrospectionDepthRule, MaybeNullValidationRule, OneOfInputValidationRule)
_DOCUMENTS_KEPT = 500
_CHARACTERS_KEPT = 2_000_000
_WEIGHT_OF_TOKEN = 10  # in characters: what is parsed of a token takes much more memory than its text
_TOO_MANY_DIGITS = "integer string conversion"

COST_OF_NOTHING = 10
"""Points for what cannot or must not be executed: finding that out costs as much as a small operation."""


class GraphQLRequest(NamedTuple):
    """What a client sends: a document, the values of its variables, and the name of the operation to execute."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


class ParsedOperation:
    """An operation of a valid document, and the fragments that it may use. Compared by identity, so that it can be the
    key of what is made of it."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        definition: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        weight: int,
    ) -> None:
        self.document = document
        self.definition = definition
        self.fragments = fragments
        self.weight = weight
        """The weight of its document."""
        self.is_query = definition.operation is OperationType.QUERY
        self.is_mutation = definition.operation is OperationType.MUTATION
        self.is_subscription = definition.operation is OperationType.SUBSCRIPTION
        self._cost = Cost(schema, definition, fragments)
        self._fixed_cost: int | None = None

    def cost(self, variables: Mapping[str, Any] | None) -> int:
        """Return the cost of the operation in points, with these variables."""
        if self._fixed_cost is not None:
            return self._fixed_cost
        cost = self._cost.of(variables)
        if self._cost.is_fixed:
            self._fixed_cost = cost
        return cost


@dataclass(frozen=True)
class Document:
    """A document: its operations by their names, or what is wrong with it."""

    errors: Sequence[GraphQLError] = ()
    operations: Mapping[str | None, ParsedOperation] = field(default_factory=dict)
    weight: int = 0
    """The memory it takes, in characters; of an invalid document only the errors are kept."""

    def operation(self, name: str | None) -> ParsedOperation | None:
        """Return the operation with this name, or the only one; None where there is none."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        return self.operations.get(name) if name else None


class RequestedOperation(NamedTuple):
    """What a request asks for: an operation and its cost in points, or why it must not be executed."""

    request: GraphQLRequest
    parsed: ParsedOperation | None = None
    cost: int | None = None
    errors: Sequence[GraphQLError] = ()

    @property
    def definition(self) -> OperationDefinitionNode | None:
        """The operation as its document has it."""
        return None if self.parsed is None else self.parsed.definition

    @property
    def is_query(self) -> bool:
        """Whether it only reads."""
        return self.parsed is not None and self.parsed.is_query

    @property
    def is_mutation(self) -> bool:
        """Whether it writes."""
        return self.parsed is not None and self.parsed.is_mutation

    @property
    def is_subscription(self) -> bool:
        """Whether its results are a stream."""
        return self.parsed is not None and self.parsed.is_subscription

    @property
    def points(self) -> int:
        """The points to take from the rate limit: the cost, or a few where it must not be executed."""
        return COST_OF_NOTHING if self.cost is None or self.errors else self.cost


_NO_OPERATION = GraphQLError(
    "The document has no such operation. Select one with `operationName` if there are several.",
    extensions={"code": "BAD_USER_INPUT"},
)
_NOT_TRUSTED = Document(
    errors=[GraphQLError("This API executes registered documents only.", extensions={"code": "DOCUMENT_NOT_TRUSTED"})]
)


class Documents:
    """Reads documents."""

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits,
        trusted: TrustedDocuments | None = None,
        *,
        introspection: bool = True,
    ) -> None:
        self.limits = limits
        self.trusted = trusted or TrustedDocuments(Trust.OFF)
        self._schema = schema
        self._introspection = introspection
        self._rules = _RULES if introspection else (*_RULES, NoIntrospection)
        self._documents: Cache[str, Document] = Cache(_DOCUMENTS_KEPT, _CHARACTERS_KEPT)

    def read(self, text: str) -> Document:
        """Return the document that a client sent, with its errors if it has any."""
        if self.trusted.is_required and not self.trusted.executes(text):
            return _NOT_TRUSTED
        return self.read_own(text)

    def read_own(self, text: str) -> Document:
        """Return a document that we made, which needs no registration."""
        document = self._documents.get(text, lambda: self._read(text))
        self._documents.weigh(text, document.weight)
        return document

    def requested(self, request: GraphQLRequest) -> RequestedOperation:
        """Return what a request asks for."""
        document = self.read(request.query)
        parsed = document.operation(request.operation_name)
        if parsed is None:
            return RequestedOperation(request, errors=document.errors or (_NO_OPERATION,))
        cost = parsed.cost(request.variables)
        errors = (cost_exceeded(cost, self.limits.cost),) if cost > self.limits.cost else ()
        return RequestedOperation(request, parsed, cost, errors)

    def cost_extension(self, cost: int) -> dict[str, int]:
        """Return `extensions.cost`, in points."""
        return {"requested": cost, "limit": self.limits.cost}

    def _read(self, text: str) -> Document:
        try:
            ast = parse(text, max_lexical_tokens=self.limits.tokens, max_comments=self.limits.tokens)
        except GraphQLSyntaxError as error:
            return Document(errors=[_kept(self._unparsed(error))], weight=len(text))
        errors = [*exceeded(ast, self.limits)] or self._invalid(ast)
        if errors:
            return Document(errors=[_kept(error) for error in errors], weight=len(text))
        fragments = {node.name.value: node for node in ast.definitions if isinstance(node, FragmentDefinitionNode)}
        weight = len(text) + _WEIGHT_OF_TOKEN * _number_of_tokens(ast)
        operations = {
            node.name.value if node.name else None: ParsedOperation(self._schema, ast, node, fragments, weight)
            for node in ast.definitions
            if isinstance(node, OperationDefinitionNode)
        }
        return Document(operations=operations, weight=weight)

    def _unparsed(self, error: GraphQLSyntaxError) -> GraphQLError:
        if "contains more than" in error.message:
            limit = self.limits.tokens
            return limit_exceeded("TOKEN", f"A document may contain at most {limit:,} tokens.", limit + 1, limit)
        error.extensions = {"code": "GRAPHQL_PARSE_FAILED"}
        return error

    def _invalid(self, ast: DocumentNode) -> list[GraphQLError]:
        errors = validate(
            self._schema, ast, self._rules, max_errors=self.limits.errors, hide_suggestions=not self._introspection
        )
        for error in errors:
            error.extensions = {"code": "GRAPHQL_VALIDATION_FAILED", **(error.extensions or {})}
        return errors[: self.limits.errors]


def _kept(error: GraphQLError) -> GraphQLError:
    """Return the error without the document that it points to, and the stack that it was raised from."""
    message = error.message
    if _TOO_MANY_DIGITS in message:  # Python's message
        message = "Int cannot represent a number with so many digits."
    kept = GraphQLError(message, extensions=error.extensions)
    kept.locations = error.locations
    return kept


def _number_of_tokens(ast: DocumentNode) -> int:
    token, number = ast.loc.start_token if ast.loc else None, 0
    while token is not None:
        token, number = token.next, number + 1
    return number
