"""A payload as a tree that unfolds: the first few hundred values at once, the rest when asked."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

Kind = Literal["object", "array", "string", "number", "word"]

MOST_NODES = 200
MOST_CHILDREN = 100  # of one object or array; the next hundred are asked for
MOST_CHARS = 300  # of one text; the whole of it is asked for
# A small payload is unfolded whole, of a larger one the top.
_SMALL = 60
_OPEN_LEVELS = 2
_OPEN_CHILDREN = 30

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(slots=True)
class Branch:
    """One value: its name in its object, or index in its array, and where it is.

    ``path`` is how people write it (``error.frames[0]["file name"]``), ``pointer`` its JSON
    Pointer (RFC 6901). ``count`` is the number of children, or of characters of a text.
    ``is_cut``: its children, or the end of its text, are not here but to be asked for; ``rest``:
    how many of its children come after those that are here.
    """

    name: str
    kind: Kind
    path: str
    pointer: str
    text: str = ""
    count: int = 0
    is_cut: bool = False
    is_open: bool = False
    rest: int = 0
    children: list[Branch] = field(default_factory=list)


def payload_tree(value: Any, pointer: str = "", path: str = "", begin: int = 0) -> Branch:
    """The value as a tree of at most some 200 branches, its children from number ``begin`` on.

    What is nearer to the top is there first.
    """
    root = _branch("", value, path, pointer)
    waiting: deque[tuple[Branch, Any, int, int]] = deque([(root, value, 0, begin)])
    left = MOST_NODES
    parents: list[tuple[Branch, int]] = []
    while waiting:
        branch, inside, level, start = waiting.popleft()
        if branch.kind not in ("object", "array"):
            continue
        shown = min(branch.count - start, MOST_CHILDREN)
        if shown > left and level > 0:
            branch.is_cut = branch.count > 0
            continue
        left -= shown
        for name, item in islice(_items(inside), start, start + shown):
            child = _branch(name, item, _joined(branch, name), f"{branch.pointer}/{_escaped(name)}")
            branch.children.append(child)
            waiting.append((child, item, level + 1, 0))
        branch.rest = branch.count - start - shown
        parents.append((branch, level))
    is_small = MOST_NODES - left <= _SMALL
    for branch, level in parents:
        is_top = level < _OPEN_LEVELS and branch.count <= _OPEN_CHILDREN
        branch.is_open = is_top or (is_small and not branch.is_cut)
    return root


def find(value: Any, pointer: str) -> tuple[Any, str]:
    """The value at a JSON Pointer, and its path as people write it. Raises LookupError."""
    path = ""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            path = _with_name(path, name)
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdecimal() and len(name) < 10:
            path = f"{path}[{int(name)}]"
            value = value[int(name)]
        else:
            raise LookupError(pointer)
    return value, path


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    else:
        yield from ((str(index), item) for index, item in enumerate(value))


def _branch(name: str, value: Any, path: str, pointer: str) -> Branch:
    if isinstance(value, dict):
        return Branch(name, "object", path, pointer, count=len(value))
    if isinstance(value, list):
        return Branch(name, "array", path, pointer, count=len(value))
    if isinstance(value, str):
        is_cut = len(value) > MOST_CHARS
        text = json.dumps(value[:MOST_CHARS], ensure_ascii=False)
        return Branch(name, "string", path, pointer, text, len(value), is_cut)
    kind: Kind = "word" if value is None or isinstance(value, bool) else "number"
    return Branch(name, kind, path, pointer, json.dumps(value))


def _joined(parent: Branch, name: str) -> str:
    return f"{parent.path}[{name}]" if parent.kind == "array" else _with_name(parent.path, name)


def _with_name(path: str, name: str) -> str:
    if _PLAIN_NAME.fullmatch(name):
        return f"{path}.{name}" if path else name
    return f"{path}[{json.dumps(name, ensure_ascii=False)}]"


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
