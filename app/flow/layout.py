"""A layered drawing of a directed graph, left to right: the same graph is always drawn the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_SWEEPS = 12
_PLACINGS = 8

# Where on a curve between two columns a label may stand: near its source, where lines part, and on.
_LABEL_AT = (0.34, 0.5, 0.66, 0.2, 0.8)

Pair = tuple[str, str]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """Where a node is drawn: its left upper corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Route:
    """How an edge is drawn: the ``d`` of its path, the tip of its arrow, where a label may stand.

    ``labels`` are points on the line, the best first: near others' lines it may have to be another.
    """

    path: str
    arrow: str
    labels: Sequence[Point]
    is_back: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes by node, in reading order, routes by edge, and the size of all of it."""

    boxes: dict[str, Box]
    routes: dict[Pair, Route]
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """In pixels. ``bend``: the room that an edge has between two columns."""

    width: float = 224
    height: float = 46
    gap: float = 14
    bend: float = 104
    margin: float = 10


def draw(nodes: Sequence[str], edges: Iterable[Pair], sizes: Sizes = Sizes()) -> Drawing:
    """Lay out nodes in columns so that edges go right where they can and cross little.

    ``nodes`` in the order that is kept where nothing else decides.
    """
    rank = {node: number for number, node in enumerate(nodes)}
    pairs = sorted(set(edges), key=lambda pair: (rank[pair[0]], rank[pair[1]]))
    back = _back(nodes, pairs)
    forward = [pair for pair in pairs if pair not in back]
    column = _columns(nodes, forward)
    columns, chains = _with_bends(nodes, forward, column)
    links = [(a, b) for chain in chains.values() for a, b in zip(chain, chain[1:], strict=False)]
    _order(columns, links)
    middle = _place(columns, links, rank, sizes)
    top = min(middle.values(), default=0.0) - sizes.height / 2 - sizes.margin
    boxes = {}
    for number, members in enumerate(columns):
        for node in members:
            if node in rank:
                x = sizes.margin + number * (sizes.width + sizes.bend)
                y = middle[node] - sizes.height / 2 - top
                boxes[node] = Box(round(x, 1), round(y, 1), sizes.width, sizes.height)
    at = {node: middle[node] - top for node in middle}
    routes = {
        pair: _forward_route(chain, boxes, at, sizes, _column_of(columns))
        for pair, chain in chains.items()
    }
    routes |= {pair: _back_route(boxes[pair[0]], boxes[pair[1]]) for pair in back}
    width = 2 * sizes.margin + len(columns) * (sizes.width + sizes.bend) - sizes.bend
    height = max((box.y + box.height for box in boxes.values()), default=0) + sizes.margin
    return Drawing(boxes, routes, max(width, 0), round(height, 1))


def _back(nodes: Sequence[str], pairs: Sequence[Pair]) -> set[Pair]:
    """The edges that close a cycle, seen from the nodes to which nothing leads."""
    after: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in pairs:
        after[source].append(target)
    targets = {target for source, target in pairs if source != target}
    found: set[Pair] = set()
    state: dict[str, int] = {}  # 1 while what follows from it is walked, 2 afterwards
    for root in [*(n for n in nodes if n not in targets), *nodes]:
        if root in state:
            continue
        state[root] = 1
        walk = [(root, iter(after[root]))]
        while walk:
            node, rest = walk[-1]
            following = next(rest, None)
            if following is None:
                state[node] = 2
                walk.pop()
            elif state.get(following) == 1:
                found.add((node, following))
            elif following not in state:
                state[following] = 1
                walk.append((following, iter(after[following])))
    return found


def _columns(nodes: Sequence[str], forward: Sequence[Pair]) -> dict[str, int]:
    """The longest way to each node; what nothing leads to stands close before what it leads to."""
    before: dict[str, list[str]] = {node: [] for node in nodes}
    after: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in forward:
        before[target].append(source)
        after[source].append(target)
    column: dict[str, int] = {}
    waiting = {node: len(before[node]) for node in nodes}
    ready = [node for node in nodes if not waiting[node]]
    while ready:
        node = ready.pop(0)
        column[node] = max((column[each] + 1 for each in before[node]), default=0)
        for following in after[node]:
            waiting[following] -= 1
            if not waiting[following]:
                ready.append(following)
    for node in nodes:
        if not before[node] and after[node]:
            column[node] = min(column[each] for each in after[node]) - 1
    return column


def _with_bends(
    nodes: Sequence[str], forward: Sequence[Pair], column: Mapping[str, int]
) -> tuple[list[list[str]], dict[Pair, list[str]]]:
    """The members of each column, with a bend wherever a longer edge passes one."""
    columns: list[list[str]] = [[] for _ in range(max(column.values(), default=-1) + 1)]
    for node in nodes:
        columns[column[node]].append(node)
    chains: dict[Pair, list[str]] = {}
    for source, target in forward:
        bends = [f"\0{source}\0{target}\0{n}" for n in range(column[source] + 1, column[target])]
        for n, bend in enumerate(bends, column[source] + 1):
            columns[n].append(bend)
        chains[source, target] = [source, *bends, target]
    return columns, chains


def _order(columns: list[list[str]], links: Sequence[Pair]) -> None:
    """Order each column by the mean place of its neighbours, back and forth; the best stays."""
    before, after = _both(links)
    best, fewest = [list(each) for each in columns], _crossings(columns, links)
    for sweep in range(_SWEEPS):
        is_right = sweep % 2 == 0
        places = {node: n for members in columns for n, node in enumerate(members)}
        order = columns[1:] if is_right else columns[-2::-1]
        near = before if is_right else after
        for members in order:
            mean = {
                node: sum(places[each] for each in near[node]) / len(near[node])
                if near.get(node) else float(places[node])
                for node in members
            }  # fmt: skip
            members.sort(key=lambda node: mean[node])
            places |= {node: n for n, node in enumerate(members)}
        crossings = _crossings(columns, links)
        if crossings < fewest:
            best, fewest = [list(each) for each in columns], crossings
    columns[:] = best


def _crossings(columns: Sequence[Sequence[str]], links: Sequence[Pair]) -> int:
    place = {node: (n, m) for n, members in enumerate(columns) for m, node in enumerate(members)}
    by_column: dict[int, list[tuple[int, int]]] = {}
    for source, target in links:
        by_column.setdefault(place[source][0], []).append((place[source][1], place[target][1]))
    count = 0
    for ends in by_column.values():
        ends.sort()
        for n, (_, right) in enumerate(ends):
            count += sum(1 for _, other in ends[n + 1 :] if other < right)
    return count


def _place(
    columns: Sequence[Sequence[str]], links: Sequence[Pair], rank: Mapping[str, int], sizes: Sizes
) -> dict[str, float]:
    """The middle of each node, drawn towards its neighbours as far as the others leave room."""
    before, after = _both(links)
    room = {
        node: (sizes.height if node in rank else sizes.height / 3) + sizes.gap
        for members in columns for node in members
    }  # fmt: skip
    middle: dict[str, float] = {}
    for members in columns:
        y = -sum(room[node] for node in members) / 2
        for node in members:
            middle[node] = y + room[node] / 2
            y += room[node]
    for placing in range(_PLACINGS):
        near = before if placing % 2 == 0 else after
        for members in columns if placing % 2 == 0 else reversed(columns):
            wanted = [
                sum(middle[each] for each in near[node]) / len(near[node])
                if near.get(node) else middle[node]
                for node in members
            ]  # fmt: skip
            for node, y in zip(members, _apart(members, wanted, room), strict=True):
                middle[node] = y
    return middle


def _apart(
    members: Sequence[str], wanted: Sequence[float], room: Mapping[str, float]
) -> list[float]:
    """The wanted places, moved as little as keeps the order and the room of each (pooled means)."""
    offsets, offset = [], 0.0
    for node in members:
        offsets.append(offset + room[node] / 2)
        offset += room[node]
    pools: list[list[float]] = []  # sum and count of those that stand close together
    for y, own in zip(wanted, offsets, strict=True):
        pools.append([y - own, 1.0])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    starts = [pool[0] / pool[1] for pool in pools for _ in range(int(pool[1]))]
    return [start + own for start, own in zip(starts, offsets, strict=True)]


def _both(links: Sequence[Pair]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for source, target in links:
        after.setdefault(source, []).append(target)
        before.setdefault(target, []).append(source)
    return before, after


def _column_of(columns: Sequence[Sequence[str]]) -> dict[str, int]:
    return {node: n for n, members in enumerate(columns) for node in members}


def _forward_route(
    chain: Sequence[str], boxes: Mapping[str, Box], at: Mapping[str, float], sizes: Sizes,
    column: Mapping[str, int],
) -> Route:  # fmt: skip
    first, last = boxes[chain[0]], boxes[chain[-1]]
    x, y = first.x + first.width, first.y + first.height / 2
    parts = [f"M{x:.1f} {y:.1f}"]
    labels = []
    for bend in chain[1:-1]:
        left = sizes.margin + column[bend] * (sizes.width + sizes.bend)
        parts.append(_curve(x, y, left, at[bend]) + f"H{left + sizes.width:.1f}")
        labels += _along((x, y), (left, at[bend]))
        x, y = left + sizes.width, at[bend]
    end_x, end_y = last.x, last.y + last.height / 2
    parts.append(_curve(x, y, end_x - 5, end_y))
    labels += _along((x, y), (end_x - 5, end_y))
    return Route("".join(parts), _arrow(end_x, end_y, 1), labels, False)


def _back_route(source: Box, target: Box) -> Route:
    """From the left side of what stands right, below the edges that go right."""
    if source is target:
        x, y = source.x + source.width, source.y + source.height - 8
        path = f"M{x:.1f} {y:.1f}c34 8 34 -30 5 -22"
        return Route(path, _arrow(x, y - 22, -1), [(x + 30, y - 8)], True)
    x, y = source.x, source.y + source.height - 9
    end_x, end_y = target.x + target.width, target.y + target.height - 9
    path = f"M{x:.1f} {y:.1f}{_curve(x, y, end_x + 5, end_y)}"
    labels = [((x + end_x) / 2, (y + end_y) / 2 + 12)]
    return Route(path, _arrow(end_x, end_y, -1), labels, True)


def _curve(x: float, y: float, end_x: float, end_y: float) -> str:
    half = (end_x - x) / 2
    return f"C{x + half:.1f} {y:.1f} {end_x - half:.1f} {end_y:.1f} {end_x:.1f} {end_y:.1f}"


def _along(start: Point, end: Point) -> list[Point]:
    """Points on the ``_curve`` between two points, a little above the line."""
    (x, y), (end_x, end_y) = start, end
    points = []
    for t in _LABEL_AT:
        # A cubic Bézier curve whose control points are half way, level with its ends.
        share_x = 1.5 * t * (1 - t) + t**3
        share_y = 3 * t**2 - 2 * t**3
        points.append((x + (end_x - x) * share_x, y + (end_y - y) * share_y - 4))
    return points


def _arrow(x: float, y: float, way: int) -> str:
    return f"M{x:.1f} {y:.1f}l{-7 * way} -3.5v7z"
