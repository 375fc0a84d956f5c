"""Limits on the size of a document, whatever it requests.

The size is measured before validation, which can take longest: half a second for 280 copies of the same field."""

from collections import Counter
from collections.abc import Iterator, Sequence

import graphql

from app.settings import Settings

Nodes = Sequence[graphql.SelectionNode]

INTROSPECTION = {"__schema", "__type"}
_NESTING = 100  # nested selections, of fields or fragments: Python's stack supports twice as many
_COMPARISONS = 20_000  # of fields with the same key, and fields visited for that; validation takes 10 µs for each


def exceeded(document: graphql.DocumentNode, settings: Settings) -> Iterator[graphql.GraphQLError]:
    """Yield an error for each limit that the document exceeds, with its code and the `requested` size."""
    size = _Size(document)
    if size.nesting > _NESTING:
        message = f"A document may nest at most {_NESTING} selections, including those of fragments."
        yield limit_exceeded("DEPTH", message, size.nesting, _NESTING)
        return
    for name, what, requested, limit in (
        ("DEPTH", "levels of fields", size.depth, settings.depth_limit),
        ("ROOT_FIELD", "root fields", size.root_fields, settings.root_field_limit),
        ("ALIAS", "aliases", size.aliases, settings.alias_limit),
        ("DIRECTIVE", "directives", size.directives, settings.directive_limit),
        ("REPETITION", "repetitions of a field in one selection", size.repetitions, settings.repetition_limit),
    ):
        if requested > limit:
            message = f"A document may contain at most {limit:,} {what}; this one contains {requested:,}."
            yield limit_exceeded(name, message, requested, limit)
    if size.comparisons > _COMPARISONS:
        message = (
            f"The document repeats fields too often: at most {_COMPARISONS:,} may be compared, including those of "
            "fragments."
        )
        yield limit_exceeded("REPETITION", message, size.comparisons, _COMPARISONS)


def limit_exceeded(name: str, message: str, requested: int, limit: int) -> graphql.GraphQLError:
    """Return the error of a limit."""
    return graphql.GraphQLError(
        message, extensions={"code": f"{name}_LIMIT_EXCEEDED", "requested": requested, "limit": limit}
    )


class _Size:
    """The size of a document. A fragment's selection counts once, except for the depth at which it is spread."""

    def __init__(self, document: graphql.DocumentNode) -> None:
        self.aliases = self.directives = self.repetitions = self.comparisons = 0
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, graphql.FragmentDefinitionNode)
        }
        self._depths: dict[str, int] = {}
        self._levels: dict[str, int] = {}
        operations = [node for node in document.definitions if isinstance(node, graphql.OperationDefinitionNode)]
        definitions = (*operations, *self._fragments.values())
        self.nesting = max((self._nesting(_below(node), 1, ()) for node in definitions), default=0)
        if self.nesting > _NESTING:
            return
        for definition in definitions:
            self._count(definition)
            self._compare(_below(definition), 1)
        self.depth = max((self._depth(node) for node in operations), default=0)
        self.root_fields = max((len([*self._fields(_below(node), set())]) for node in operations), default=0)

    def _nesting(self, selected: Nodes, level: int, spread: tuple[str, ...]) -> int:
        """Return how deep selections are nested, at most one level beyond the limit. A fragment is visited again only
        at a greater depth than before; validation reports one that spreads itself."""
        deepest = level
        for node in selected:
            below, within = _below(node), spread
            if isinstance(node, graphql.FragmentSpreadNode):
                name = node.name.value
                if name not in self._fragments or name in spread or self._levels.get(name, 0) > level:
                    continue
                self._levels[name] = level + 1
                below, within = _below(self._fragments[name]), (*spread, name)
            if below and deepest <= _NESTING:
                deepest = max(deepest, self._nesting(below, level + 1, within))
        return deepest

    def _count(self, node: graphql.ExecutableDefinitionNode | graphql.SelectionNode) -> None:
        self.directives += len(node.directives or ())
        self.aliases += isinstance(node, graphql.FieldNode) and node.alias is not None
        below = _below(node)
        self.repetitions = max(self.repetitions, *Counter(map(_key, below)).values(), 0)
        for each in below:
            self._count(each)

    def _compare(self, selected: Nodes, level: int) -> None:
        """Count the comparisons that validation makes of fields selected together, until the limit is exceeded."""
        same: dict[str, list[graphql.FieldNode]] = {}
        for node in self._fields(selected, set()):
            same.setdefault(_key(node), []).append(node)
        for nodes in same.values():
            self.comparisons += len(nodes) * (len(nodes) - 1) // 2
            below = [each for node in nodes for each in _below(node)]
            if below and level < _NESTING and self.comparisons <= _COMPARISONS:
                self._compare(below, level + 1)

    def _fields(self, selected: Nodes, spread: set[str]) -> Iterator[graphql.FieldNode]:
        """Yield the fields that are selected together, those of each fragment once."""
        for node in selected:
            self.comparisons += 1
            if isinstance(node, graphql.FieldNode):
                yield node
            elif not isinstance(node, graphql.FragmentSpreadNode):
                yield from self._fields(_below(node), spread)
            elif node.name.value in self._fragments and node.name.value not in spread:
                spread.add(node.name.value)
                yield from self._fields(_below(self._fragments[node.name.value]), spread)

    def _depth(self, node: graphql.ExecutableDefinitionNode | graphql.SelectionNode) -> int:
        """Return how deep fields are nested; introspection has its own limit."""
        if isinstance(node, graphql.FragmentSpreadNode):
            name = node.name.value
            if name not in self._depths:
                self._depths[name] = 0  # for one that spreads itself, which validation rejects
                if name in self._fragments:
                    self._depths[name] = self._depth(self._fragments[name])
            return self._depths[name]
        if isinstance(node, graphql.FieldNode) and node.name.value in INTROSPECTION:
            return 1
        return isinstance(node, graphql.FieldNode) + max(map(self._depth, _below(node)), default=0)


def _below(node: graphql.Node) -> Nodes:
    """Return what is selected of a field, a fragment or an operation."""
    selection_set = getattr(node, "selection_set", None)
    return () if selection_set is None else selection_set.selections


def _key(node: graphql.SelectionNode) -> str:
    """Return the key of a field in the response, or the name of a fragment: each repetition counts."""
    if isinstance(node, graphql.FieldNode):
        return (node.alias or node.name).value
    return f"...{node.name.value}" if isinstance(node, graphql.FragmentSpreadNode) else "..."
