"""The table of the benchmarks: measured in turn, medians, what is met and what is not."""

from __future__ import annotations

from pathlib import Path

from bench import document
from bench.load import answer_end, post_request
from bench.options import Options
from bench.report import Figure, Sample, interleaved, table


def test_two_things_are_measured_in_turn_so_that_drift_hits_both() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = interleaved({"ours": lambda: measure("ours"), "peer": lambda: measure("peer")}, 3)
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert found["ours"] == Sample((1.0, 4.0, 5.0))
    assert found["ours"].median == 4.0


def test_a_median_is_shown_with_the_least_and_the_most() -> None:
    assert Sample((1500.0, 900.0, 12000.0)).shown("/s") == "1,500/s (900–12,000)"
    assert Sample((0.123,)).shown(" s", 2) == "0.12 s"


def test_a_missed_budget_is_plain_and_a_row_without_one_claims_nothing() -> None:
    lines = table([
        Figure("fast", "9/s", "peer: 3/s", "3 ×", "≥ 2 ×", True),
        Figure("slow", "1/s", "peer: 3/s", "0.3 ×", "≥ 2 ×", False),
        Figure("beside", "1/s"),
    ]).splitlines()  # fmt: skip
    assert lines[2] == "| fast | 9/s | peer: 3/s | 3 × | ≥ 2 × | yes |"
    assert lines[3].endswith("| **no** |")
    assert lines[4] == "| beside | 1/s | — | — | — |  |"


def test_the_document_says_how_many_budgets_were_met_and_on_which_machine(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.md"
    figures = [Figure("a", "1/s", is_met=True), Figure("b", "1/s", is_met=False), Figure("c", "1")]
    document.write(path, [("kernel", "Linux 6")], Options(rounds=5), figures, 300.0)
    text = path.read_text()
    assert "1 of 2 budgets met, in a run of 5 min." in text
    assert "median of 5 measurements" in text
    assert "| kernel | Linux 6 |" in text


def test_the_end_of_an_answer_is_known_only_when_it_is_there_whole() -> None:
    answer = b"HTTP/1.1 202 ACCEPTED\r\ncontent-length: 5\r\n\r\nhello"
    assert answer_end(answer) == len(answer)
    assert answer_end(answer + b"HTTP/1.1 202") == len(answer)
    assert not any(answer_end(answer[:size]) for size in range(len(answer)))
    assert post_request(b"{}").endswith(b"Content-Length: 2\r\n\r\n{}")
