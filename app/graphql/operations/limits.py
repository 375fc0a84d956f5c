"""Limits on the size of a document, whatever it requests.

The size is measured before validation, which can take longest: half a second for 280 copies of the same field."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import graphql

from app.settings import Settings

_INTROSPECTION = {"__schema", "__type"}
_NESTING = 100  # nested selections, of fields or fragments: Python's stack supports twice as many
_COMPARISONS = 20_000  # of fields with the same key, and fields visited for that; validation takes 10 µs for each


@dataclass(frozen=True)
class Limits:
    """The most that one document may contain, and one of its operations may cost."""

    tokens: int
    depth: int
    root_fields: int
    aliases: int
    directives: int
    repetitions: int
    errors: int
    cost: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Return the limits in the settings."""
        return cls(
            tokens=settings.token_limit,
            depth=settings.depth_limit,
            root_fields=settings.root_field_limit,
            aliases=settings.alias_limit,
            directives=settings.directive_limit,
            repetitions=settings.repetition_limit,
            errors=settings.validation_error_limit,
            cost=settings.cost_limit,
        )


def exceeded(document: graphql.DocumentNode, limits: Limits) -> Iterator[graphql.GraphQLError]:
    """Yield an error for each limit that the document exceeds, with its code and the `requested` size."""
    size = _Size(document)
    if size.nesting > _NESTING:
        message = f"A document may nest at most {_NESTING} selections, including those of fragments."
        yield limit_exceeded("DEPTH", message, size.nesting, _NESTING)
        return
    counted = (
        ("DEPTH", "levels of fields", size.depth, limits.depth),
        ("ROOT_FIELD", "root fields", size.root_fields, limits.root_fields),
        ("ALIAS", "aliases", size.aliases, limits.aliases),
        ("DIRECTIVE", "directives", size.directives, limits.directives),
        ("REPETITION", "repetitions of a field in one selection", size.repetitions, limits.repetitions),
    )
    for name, what, requested, limit in counted:
        if requested > limit:
            yield limit_exceeded(name, _too_many(what, requested, limit), requested, limit)
    if size.comparisons > _COMPARISONS:
        message = (
            f"The document repeats fields too often: at most {_COMPARISONS:,} may be compared, including those of "
            "fragments."
        )
        yield limit_exceeded("REPETITION", message, size.comparisons, _COMPARISONS)


def _too_many(what: str, requested: int, limit: int) -> str:
    return f"A document may contain at most {limit:,} {what}; this one contains {requested:,}."


def limit_exceeded(name: str, message: str, requested: int, limit: int) -> graphql.GraphQLError:
    """Return the error of a limit."""
    return graphql.GraphQLError(
        message, extensions={"code": f"{name}_LIMIT_EXCEEDED", "requested": requested, "limit": limit}
    )


class _Size:
    """The size of a document. A fragment's selection counts once, except for the depth at which it is spread."""

    def __init__(self, document: graphql.DocumentNode) -> None:
        self.aliases = self.directives = self.repetitions = self.comparisons = 0
        self._fragments: Mapping[str, graphql.FragmentDefinitionNode] = {
            node.name.value: node for node in document.definitions if isinstance(node, graphql.FragmentDefinitionNode)
        }
        self._depths: dict[str, int] = {}
        self._levels: dict[str, int] = {}
        operations = [node for node in document.definitions if isinstance(node, graphql.OperationDefinitionNode)]
        definitions = (*operations, *self._fragments.values())
        self.nesting = max((self._nesting(node.selection_set, 1, ()) for node in definitions), default=0)
        if self.nesting > _NESTING:
            return
        for definition in definitions:
            self.directives += len(definition.directives or ())
            self._count(definition.selection_set)
            self._compare([definition.selection_set], 1)
        self.depth = max((self._depth(node.selection_set) for node in operations), default=0)
        self.root_fields = max((self._root_fields(node.selection_set) for node in operations), default=0)

    def _nesting(self, selected: graphql.SelectionSetNode, level: int, spread: tuple[str, ...]) -> int:
        """Return how deep selections are nested, at most one level beyond the limit. A fragment is visited again only
        at a greater depth than before; validation reports one that spreads itself."""
        deepest = level
        for node in selected.selections:
            below, within = _below(node), spread
            if isinstance(node, graphql.FragmentSpreadNode):
                name = node.name.value
                if name not in self._fragments or name in spread or self._levels.get(name, 0) > level:
                    continue
                self._levels[name] = level + 1
                below, within = self._fragments[name].selection_set, (*spread, name)
            if below is not None and deepest <= _NESTING:
                deepest = max(deepest, self._nesting(below, level + 1, within))
        return deepest

    def _count(self, selected: graphql.SelectionSetNode) -> None:
        keys = Counter(_key(node) for node in selected.selections)
        self.repetitions = max(self.repetitions, *keys.values(), 0)
        for node in selected.selections:
            self.directives += len(node.directives or ())
            self.aliases += isinstance(node, graphql.FieldNode) and node.alias is not None
            if (below := _below(node)) is not None:
                self._count(below)

    def _root_fields(self, selected: graphql.SelectionSetNode) -> int:
        return sum(1 for _ in self._fields([selected], set()))

    def _compare(self, selected: Sequence[graphql.SelectionSetNode], level: int) -> None:
        """Count the comparisons that validation makes of fields selected together, until the limit is exceeded."""
        same: dict[str, list[graphql.FieldNode]] = {}
        for node in self._fields(selected, set()):
            same.setdefault(_key(node), []).append(node)
        for nodes in same.values():
            self.comparisons += len(nodes) * (len(nodes) - 1) // 2
            below = [node.selection_set for node in nodes if node.selection_set is not None]
            if below and level < _NESTING and self.comparisons <= _COMPARISONS:
                self._compare(below, level + 1)

    def _fields(self, selected: Iterable[graphql.SelectionSetNode], spread: set[str]) -> Iterator[graphql.FieldNode]:
        """Yield the fields that are selected together, those of each fragment once."""
        for node in (node for each in selected for node in each.selections):
            self.comparisons += 1
            if isinstance(node, graphql.FieldNode):
                yield node
            elif not isinstance(node, graphql.FragmentSpreadNode):
                yield from self._fields([_below(node) or graphql.SelectionSetNode(selections=())], spread)
            elif node.name.value in self._fragments and node.name.value not in spread:
                spread.add(node.name.value)
                yield from self._fields([self._fragments[node.name.value].selection_set], spread)

    def _depth(self, selected: graphql.SelectionSetNode) -> int:
        """Return how deep fields are nested; introspection has its own limit."""
        return max((self._depth_of(node) for node in selected.selections), default=0)

    def _depth_of(self, node: graphql.SelectionNode) -> int:
        if isinstance(node, graphql.FragmentSpreadNode):
            return self._depth_of_fragment(node.name.value)
        below = _below(node)
        if isinstance(node, graphql.FieldNode):
            is_leaf = below is None or node.name.value in _INTROSPECTION
            return 1 if is_leaf or below is None else 1 + self._depth(below)
        return 0 if below is None else self._depth(below)

    def _depth_of_fragment(self, name: str) -> int:
        if name not in self._depths:
            self._depths[name] = 0  # for one that spreads itself, which validation rejects
            if name in self._fragments:
                self._depths[name] = self._depth(self._fragments[name].selection_set)
        return self._depths[name]


def _below(node: graphql.SelectionNode) -> graphql.SelectionSetNode | None:
    return getattr(node, "selection_set", None)


def _key(node: graphql.SelectionNode) -> str:
    """Return the key of a field in the response, or the name of a fragment: each repetition counts."""
    if isinstance(node, graphql.FieldNode):
        return (node.alias or node.name).value
    return f"...{node.name.value}" if isinstance(node, graphql.FragmentSpreadNode) else "..."
