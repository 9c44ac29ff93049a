"""The types that were seen as a tree by their segments, with rolled-up counts and rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.live.traffic import REST, TypeTraffic

MOST_FAMILIES = 24
MOST_CHILDREN = 24
"""More than these under one node are said in numbers: nobody reads a list of hundreds."""


@dataclass(frozen=True, slots=True)
class Node:
    """A type, or what several have in common, or both.

    ``pattern`` shows its events and those below; ``label`` is what stands behind the parent's own
    name; ``hidden`` counts children that are not in ``children``, which come by ``count``.
    """

    label: str
    pattern: str
    count: int
    rate: float
    children: Sequence[Node]
    hidden: int = 0

    @property
    def family(self) -> str:
        return self.pattern.partition(".")[0]

    @property
    def type(self) -> str:
        """What it is called, without wildcards."""
        return self.pattern.removesuffix(".*").removesuffix(".#")


@dataclass(frozen=True, slots=True)
class TypeTree:
    """The families, most frequent first, and how many types there are in all.

    ``other`` counts events of types beyond those that are told apart.
    """

    families: Sequence[Node]
    type_count: int
    count: int
    hidden: int
    other: int


def type_tree(types: Sequence[TypeTraffic]) -> TypeTree:
    """The tree of ``types``."""
    named = [seen for seen in types if seen.type != REST]
    families = _children("", [(seen.type.split("."), seen) for seen in named], 0)
    return TypeTree(
        families[:MOST_FAMILIES],
        len(named),
        sum(seen.count for seen in types),
        max(0, len(families) - MOST_FAMILIES),
        sum(seen.count for seen in types if seen.type == REST),
    )


_Path = tuple[list[str], TypeTraffic]


def _children(prefix: str, paths: Sequence[_Path], depth: int) -> list[Node]:
    """The nodes below ``prefix``, which ends in a dot, by the segment at ``depth``."""
    groups: dict[str, list[_Path]] = {}
    for path in paths:
        groups.setdefault(path[0][depth], []).append(path)
    nodes = [_node(prefix, name, group, depth) for name, group in groups.items()]
    return sorted(nodes, key=lambda node: (-node.count, node.label))


def _node(prefix: str, label: str, group: Sequence[_Path], depth: int) -> Node:
    name = prefix + label
    if len(group) == 1 and (depth > 0 or len(group[0][0]) == 1):
        ((segments, seen),) = group
        return Node(".".join(segments[depth:]), seen.type, seen.count, seen.rate, ())
    own = [path for path in group if len(path[0]) == depth + 1]
    below = [path for path in group if len(path[0]) > depth + 1]
    children = _children(name + ".", below, depth + 1)
    if not own and depth > 0 and len(children) == 1:
        (only,) = children  # nothing forks here: one line for both
        return replace(only, label=f"{label}.{only.label}")
    hidden = 0
    if not own and len(children) == 1 and children[0].children:
        (only,) = children  # a family keeps its line, its children say the segment
        hidden = only.hidden
        children = [replace(each, label=f"{only.label}.{each.label}") for each in only.children]
    children = [
        *(Node(label, seen.type, seen.count, seen.rate, ()) for _, seen in own),
        *children,
    ]
    return Node(
        label,
        # "#" also matches nothing, so it takes the type that is called as its prefix.
        f"{name}.#" if own else f"{name}.*",
        sum(seen.count for _, seen in group),
        round(sum(seen.rate for _, seen in group), 1),
        children[:MOST_CHILDREN],
        hidden + max(0, len(children) - MOST_CHILDREN),
    )
