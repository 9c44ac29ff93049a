"""The catalogue: declarations by type, and the one place where a payload is held against them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventbus.actor import signed
from eventbus.catalogue.compiled import CompiledSchema
from eventbus.catalogue.declaration import Declaration, Mode
from eventbus.catalogue.folder import check_declaration
from eventbus.catalogue.policy import ModeRules, Unknown
from eventbus.catalogue.tally import Tally
from eventbus.errors import (
    DeclarationError,
    FieldError,
    SchemaViolationError,
    UndeclaredTypeError,
)
from eventbus.event import Event
from eventbus.log.head import concerns

if TYPE_CHECKING:
    from eventbus.log import EventLog
    from eventbus.log.declarations import DeclarationStore

logger = logging.getLogger("eventbus.catalogue")

DECLARED, WITHDRAWN = "bus.type.declared", "bus.type.withdrawn"
MOST_DECLARED = 2_000
"""By the API; a catalogue of more is no catalogue."""
_MOST_REMEMBERED = 4_000
_RANKS = {"file": 2, "api": 1, "code": 0}


@dataclass(frozen=True, slots=True)
class Found:
    """What holds for one type: the declaration, None without any, and how it is checked."""

    declaration: Declaration | None
    mode: Mode
    compiled: CompiledSchema | None


class Catalogue:
    """Given to an EventBus, it refuses what its declarations do not allow.

    Any thread may call it. ``check`` is on the way of every publish: for a type without a schema
    it costs one look-up. ``_lock`` guards changes; what is read is replaced as a whole.
    """

    def __init__(
        self,
        declarations: Iterable[Declaration] = (),
        *,
        rules: ModeRules | None = None,
        unknown: Unknown = "allow",
    ) -> None:
        """``declarations`` are those of the code and of files; the log keeps those of the API.

        ``unknown`` is what becomes of types that nobody has declared. Raises DeclarationError.
        """
        self._rules = rules or ModeRules()
        self.unknown = unknown
        self.tally = Tally()
        self.is_watched = False
        """Whether somebody checks behind the log what is only reported; see ``Reports``."""
        self._lock = threading.Lock()
        self._fixed: dict[str, Declaration] = {}
        for each in declarations:
            known = self._fixed.get(each.type)
            if known is None or _RANKS[each.origin] >= _RANKS[known.origin]:
                self._fixed[each.type] = each
        self._stored: dict[str, Declaration] = {}
        self._store: DeclarationStore | None = None
        self._compiled: dict[int, CompiledSchema | None] = {}
        self._replace()

    def attach(self, log: EventLog) -> None:
        """Take over what the log keeps. Called by the bus."""
        from eventbus.log.declarations import TOPIC, DeclarationStore

        store = self._store = DeclarationStore(log)

        def read(topics: set[str]) -> None:
            if concerns(topics, TOPIC):
                with self._lock:
                    self._stored = {each.type: each for each in store.all()}
                    self._replace()

        read({TOPIC})
        log.change_listeners.append(read)

    # -- reading -----------------------------------------------------------------------------

    def all(self) -> list[Declaration]:
        """The declarations that hold, by type."""
        return sorted(self._current.values(), key=lambda each: each.type)

    def get(self, type: str) -> Declaration | None:
        """The declaration of exactly this type or pattern."""
        return self._current.get(type)

    def find(self, type: str) -> Found:
        """What holds for an event type: its own declaration, else that of the pattern that says
        most about it."""
        found = self._found.get(type)
        return self._look(type) if found is None else found

    def violations(self, type: str, data: Any) -> list[FieldError]:
        """What a payload of this type breaks, whatever the mode is; with unknown types refused,
        also that it is one."""
        found = self.find(type)
        if found.declaration is None and self.unknown == "refuse":
            return [_undeclared(type)]
        return [] if found.compiled is None else found.compiled.violations(data)

    # -- checking ----------------------------------------------------------------------------

    def check(self, event: Event) -> None:
        """Raises SchemaViolationError or UndeclaredTypeError for what must not be recorded."""
        found = self._found.get(event.type)
        if found is None:
            found = self._look(event.type)
        if found.declaration is None:
            if self.unknown != "allow":
                self._undeclared(event)
            return
        if found.compiled is None or found.mode == "off":
            return
        if found.mode == "report":
            if not self.is_watched:
                self.report(event)
            return
        data = _payload(event)
        if not found.compiled.allows(data):
            errors = found.compiled.violations(data)
            self.tally.violation(event, errors, is_refused=True)
            raise SchemaViolationError(errors)

    def would_refuse(self, event: Event) -> None:
        """As ``check``, for an event that is only tried out: nothing is counted."""
        found = self.find(event.type)
        if found.declaration is None and self.unknown == "refuse":
            raise UndeclaredTypeError([_undeclared(event.type)])
        if found.mode == "enforce" and found.compiled is not None:
            errors = found.compiled.violations(_payload(event))
            if errors:
                raise SchemaViolationError(errors)

    def report(self, event: Event) -> None:
        """Count what an event breaks that is only reported."""
        found = self.find(event.type)
        if found.compiled is None or found.mode != "report":
            return
        data = _payload(event)
        if not found.compiled.allows(data):
            self.tally.violation(event, found.compiled.violations(data), is_refused=False)

    def is_reported(self, type: str) -> bool:
        """Whether violations of this type are counted and let through."""
        found = self._found.get(type) or self._look(type)
        return found.mode == "report" and found.compiled is not None

    # -- changing ----------------------------------------------------------------------------

    def declare(self, declaration: Declaration, by: str) -> Declaration:
        """Keep a declaration in the log; it holds when this returns, recorded as an event.

        Blocks for a commit. Raises DeclarationError for what is wrong with it or read-only.
        """
        store = self._writable(declaration.type)
        check_declaration(declaration)
        known = self._stored
        if declaration.type not in known and len(known) >= MOST_DECLARED:
            raise DeclarationError([
                FieldError("/type", f"there are {MOST_DECLARED} declarations, which is the most")
            ])  # fmt: skip
        stored = declaration.evolve(origin="api", place=by)
        data = {**signed(by), **stored.to_dict()}
        event = Event.create(DECLARED, data, subject=stored.type)
        with self._lock:
            stored = stored.evolve(at=event.time)
            store.save(stored, event)
            self._stored = {**self._stored, stored.type: stored}
            self._replace()
        return stored

    def withdraw(self, type: str, by: str) -> Declaration | None:
        """Forget what the API declared; what was, None when there was nothing. As ``declare``."""
        store = self._writable(type)
        with self._lock:
            known = self._stored.get(type)
            if known is None:
                return None
            store.remove(type, Event.create(WITHDRAWN, {"type": type, **signed(by)}, subject=type))
            self._stored = {name: each for name, each in self._stored.items() if name != type}
            self._replace()
        return known

    def _writable(self, type: str) -> DeclarationStore:
        fixed = self._fixed.get(type)
        if fixed is not None and fixed.is_read_only:
            raise DeclarationError([
                FieldError("/type", f"{type} is declared in the file {fixed.place}")
            ])  # fmt: skip
        if self._store is None:
            raise DeclarationError([FieldError("", "no bus has this catalogue yet")])
        return self._store

    # -- looking up --------------------------------------------------------------------------

    def _replace(self) -> None:
        """Begin anew with what is declared now; under the lock, or before anybody looks."""
        current = dict(self._fixed)
        for type, each in self._stored.items():
            if type not in current or not current[type].is_read_only:
                current[type] = each
        self._current = current
        self._patterns = sorted(
            (each for each in current.values() if not each.pattern.is_literal), key=_breadth
        )
        self._compiled = {}
        # Replaced, not emptied: a thread that looks something up now fills the old one.
        self._found: dict[str, Found] = {}

    def _look(self, type: str) -> Found:
        memory, current, patterns = self._found, self._current, self._patterns
        declaration = current.get(type) or next(
            (each for each in patterns if each.pattern.matches(type)), None
        )
        if declaration is None:
            found = _NOTHING
        else:
            mode = self._rules.mode_of(type) or declaration.default_mode
            found = Found(declaration, mode, self._compile(declaration))
        if len(memory) >= _MOST_REMEMBERED:
            memory.clear()
        memory[type] = found
        return found

    def _compile(self, declaration: Declaration) -> CompiledSchema | None:
        if declaration.schema is None:
            return None
        compiled, key = self._compiled, id(declaration)
        if key not in compiled:
            compiled[key] = CompiledSchema(declaration.schema)
        return compiled[key]

    def _undeclared(self, event: Event) -> None:
        is_refused = self.unknown == "refuse"
        count = self.tally.undeclared(event, is_refused=is_refused)
        if is_refused:
            raise UndeclaredTypeError([_undeclared(event.type)])
        if count == 1:
            logger.warning("nobody has declared the type %r, which %s publishes",
                           event.type, event.source)  # fmt: skip


_NOTHING = Found(None, "off", None)


def accept(event: Event) -> None:
    """The check of a bus without a catalogue."""


def _payload(event: Event) -> Any:
    """Parsed for the check alone: an event that is recorded must not keep it in memory."""
    return json.loads(event.data_json or "{}")


def _undeclared(type: str) -> FieldError:
    return FieldError("/type", f"nobody has declared {type!r}, and only declared types are taken")


def _breadth(declaration: Declaration) -> tuple[int, Sequence[str]]:
    """For an order in which the pattern that says most comes first."""
    segments = declaration.type.split(".")
    return -sum(each not in ("*", "+", "#") for each in segments), segments
