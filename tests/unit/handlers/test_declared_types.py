"""The declared types and the handlers say the same: a schema allows what its handler takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.catalogue.types import TYPES as APP_TYPES
from eventbus import Event
from eventbus.catalogue import Declaration
from eventbus.catalogue.compiled import CompiledSchema
from eventbus.catalogue.folder import check_declaration
from eventbus.catalogue.own import TYPES as OWN_TYPES
from handlers.alert import facts as alert
from handlers.errors import MalformedEventError
from handlers.evaluation import facts as evaluation
from handlers.evaluation.inbox_table import Dismissal
from handlers.monitoring import samples as monitoring
from handlers.queue import tasks as queue
from handlers.storage import handler as storage
from handlers.types import TYPES
from handlers.view import facts as view
from tests.helpers.examples import examples

ALL = {each.type: each for each in (*OWN_TYPES, *TYPES, *APP_TYPES)}

Reader = Callable[[Event], object]


def reader_of(type: str) -> Reader | None:
    """What the handler of a type reads its payload with; None when nobody does."""
    if type == "evaluation.dismissed":
        return Dismissal.read
    if type.startswith("storage.file."):
        return storage._file_change
    if type in evaluation.KINDS:
        return evaluation.read
    readers: dict[str, Reader] = {
        "queue": queue.read, "monitoring": monitoring.read, "alert": alert.read,
        "dashboard": view.read,
    }  # fmt: skip
    return readers.get(type.partition(".")[0])


READ = sorted(type for type in ALL if reader_of(type) is not None)

# JSON Schema takes 1.0 for a whole number, handlers do not everywhere: no such floats here.
odd = st.one_of(
    st.sampled_from([None, True, False, [], {}, {"a": 1}, 1.5, -0.5, 10**400]),
    st.integers(-2, 3), st.integers(-(2**60), 2**60),
    st.sampled_from(["", " ", " x", "x" * 2_000, "eval-1", "2026-11-24T14:03:22Z", "worse", "24h"]),
)  # fmt: skip


@pytest.mark.parametrize("declaration", ALL.values(), ids=list(ALL))
def test_every_built_in_type_says_what_it_is_and_keeps_to_its_own_schema(
    declaration: Declaration,
) -> None:
    assert check_declaration(declaration) is not None
    assert declaration.title and declaration.description and declaration.owner
    assert declaration.example is not None
    assert declaration.default_mode == "report"


@pytest.mark.parametrize("type", READ)
@settings(max_examples=examples(20), deadline=None)
@given(given=st.data())
def test_a_schema_allows_exactly_what_its_handler_takes(type: str, given: st.DataObject) -> None:
    declaration = ALL[type]
    schema, read = CompiledSchema(declaration.schema or {}), reader_of(type)
    assert read is not None
    data: dict[str, Any] = dict(declaration.example or {})
    names = [*(declaration.schema or {})["properties"]]
    for name in given.draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
        if given.draw(st.booleans()):
            data[name] = given.draw(odd)
        else:
            data.pop(name, None)
    if data.get("attempt") is not None:
        data.pop("retry_count", None)  # then nobody looks at it
    # Of an occurrence without service or error the handler makes the best it can.
    is_lenient = type in ("alert.critical", "alert.warning", "alert.info")
    event = Event.create(type, data)
    # A subject that is chosen may stand for the id; the schema is about the payload alone.
    event = event.evolve(subject=type)
    try:
        read(event)
        is_taken = True
    except MalformedEventError:
        is_taken = False
    violations = schema.violations(event.data)
    if is_lenient:
        assert is_taken
    else:
        assert is_taken == (not violations), violations
