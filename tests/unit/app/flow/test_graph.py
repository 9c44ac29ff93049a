"""The graph of the figures: families fold when there are many types, figures are summed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.flow.graph import MOST_TYPES, build
from eventbus.log.flow_figures import Caused, FlowFigures, Handled, Recorded

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def figures(types: list[str], handlers: dict[str, str] | None = None) -> FlowFigures:
    """Ten events of each type; ``handlers`` handle those of a family, one in ten fails."""
    found = FlowFigures(NOW - timedelta(hours=1), NOW, 1)
    for type in types:
        found.recorded.append(Recorded(type, 10, NOW))
        handler = (handlers or {}).get(type.partition(".")[0])
        if handler:
            found.handled.append(Handled(type, handler, 1, {5: 10}, NOW))
    return found


def test_few_types_are_drawn_one_by_one() -> None:
    graph = build(figures(["a.b", "a.c", "d.e"], {"a": "mine"}))
    assert set(graph.nodes) == {"type:a.b", "type:a.c", "type:d.e", "handler:mine"}
    assert graph.nodes["handler:mine"].count == 20
    assert graph.edges["type:a.b", "handler:mine"].state == "failing"


def test_many_types_fold_into_families_with_their_sums_and_one_unfolds() -> None:
    types = [f"a.t{n}" for n in range(MOST_TYPES)] + ["b.one", "b.two", "alone.here"]
    graph = build(figures(types, {"a": "mine"}))
    assert graph.families == ["a", "b"]
    assert {"family:a.*", "family:b.*", "type:alone.here"} < set(graph.nodes)
    edge = graph.edges["family:a.*", "handler:mine"]
    assert (edge.count, edge.failures) == (10 * MOST_TYPES, MOST_TYPES)
    opened = build(figures(types, {"a": "mine"}), opened=["b"])
    assert {"family:a.*", "type:b.one", "type:b.two"} < set(opened.nodes)
    assert build(figures(types), is_grouped=False).families == []


def test_what_was_caused_leads_from_the_handler_and_back_to_it() -> None:
    found = figures(["a.b", "a.c"], {"a": "mine"})
    found.caused.append(Caused("a.b", "mine", "a.c", 4, NOW))
    found.caused.append(Caused("a.b", None, "a.c", 2, NOW))
    graph = build(found)
    assert graph.edges["handler:mine", "type:a.c"].count == 4
    assert graph.edges["type:a.b", "type:a.c"].kind == "caused"


def test_a_quiet_edge_stays_where_it_is_and_what_is_long_gone_does_not() -> None:
    found = figures(["a.b"])
    found.handled.append(Handled("a.b", "mine", 0, {}, NOW - timedelta(days=3)))
    found.handled.append(Handled("old.type", "mine", 0, {}, NOW - timedelta(days=40)))
    graph = build(found)
    assert graph.edges["type:a.b", "handler:mine"].state == "quiet"
    assert "type:old.type" not in graph.nodes


def test_a_folded_edge_fails_when_that_of_any_of_its_types_does() -> None:
    found = figures(["a.b", "a.c"])
    found.handled.append(Handled("a.b", "mine", 4, {5: 176}, NOW))
    found.handled.append(Handled("a.c", "mine", 0, {5: 100_000}, NOW))
    folded = build(found, is_grouped=True)
    assert folded.edges["family:a.*", "handler:mine"].state == "failing"
    found.handled[0] = Handled("a.b", "mine", 1, {5: 176_000}, NOW)
    assert build(found, is_grouped=True).edges["family:a.*", "handler:mine"].state == "active"


def test_one_failure_among_thousands_is_no_alarm() -> None:
    found = figures(["a.b"])
    found.handled.append(Handled("a.b", "mine", 1, {3: 5_000}, NOW))
    edge = build(found).edges["type:a.b", "handler:mine"]
    assert (edge.state, edge.failures) == ("active", 1)
