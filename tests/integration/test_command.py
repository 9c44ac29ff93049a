"""The command `eventbus`: what it asks a server, what it shows, how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventbus import RemoteEventBus
from tests.helpers.bus import LONG_S
from tests.helpers.commands import Ended, run, start
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\x9b31m\x7f"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("server")
    with ServerProcess(directory, "tests.helpers.trouble:app", EVENTBUS_MAX_ATTEMPTS="1") as server:
        yield server


def eventbus(server: ServerProcess, *arguments: str, input: str = "", **variables: str) -> Ended:
    server.api.close()  # the server drops a connection that is idle while the command runs
    return run(server.url, *arguments, input=input, **variables)


def test_members_of_the_payload_are_json_where_they_can_be(server: ServerProcess) -> None:
    ended = eventbus(
        server, "publish", "cli.members", "n=3", "--subject", "anywhere", "ok=true",
        "text=a b", 'quoted="7"', "list=[1, 2]", "nan=NaN", "empty=", "a=b=c", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    event = server.api.get(f"/api/events/{ended.json['id']}").json
    assert event["data"] == {
        "n": 3, "ok": True, "text": "a b", "quoted": "7", "list": [1, 2], "nan": "NaN",
        "empty": "", "a": "b=c",
    }  # fmt: skip
    assert event["source"] == "/command"


def test_a_payload_comes_from_argument_file_or_input(server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text('{"from": "file"}')
    for arguments, input, data in [
        (['{"from": "argument"}', "more=1"], "", {"from": "argument", "more": 1}),
        ([f"@{file}"], "", {"from": "file"}),
        (["-"], '{"from": "input"}', {"from": "input"}),
    ]:
        ended = eventbus(server, "publish", "cli.payload", *arguments, "--json", input=input)
        assert ended.code == 0, ended.err
        assert server.api.get(f"/api/events/{ended.json['id']}").json["data"] == data


def test_publishing_again_under_the_same_id_is_a_duplicate(server: ServerProcess) -> None:
    arguments = ("publish", "cli.twice", "--id", "twice", "--subject", "s", "--source", "/s")
    assert "duplicate" not in eventbus(server, *arguments).out
    ended = eventbus(server, *arguments)
    assert ended.code == 0 and "a duplicate" in ended.out


def test_waiting_shows_what_the_handlers_did_and_fails_with_them(server: ServerProcess) -> None:
    good = eventbus(server, "publish", "evaluation.started", "--wait", "eval_id=waited")
    assert (good.code, "evaluation  succeeded" in good.out) == (0, True)
    bad = eventbus(server, "publish", "trouble.flaky", "failures=9", "--wait", "--within", "30s")
    assert bad.code == 1
    assert "flaky  dead" in bad.out and "ValueError: failure 1" in bad.out


def test_what_is_for_later_is_scheduled_and_shown(server: ServerProcess) -> None:
    ended = eventbus(server, "publish", "cli.later", "--delay", "2h", "--id", "later", "--wait")
    assert ended.code == 0 and ended.out.startswith("scheduled for ")
    shown = eventbus(server, "show", "later")
    assert "cli.later  scheduled" in shown.out and "(in 1 h 59 min)" in shown.out


def test_lines_of_a_pipe_are_published_and_wrong_ones_told(server: ServerProcess) -> None:
    lines = [json.dumps({"type": "cli.piped", "data": {"n": n}}) for n in range(450)]
    lines[3:3] = ['{"type": "no type!"}', "nonsense", ""]
    ended = eventbus(server, "publish", "--batch", input="\n".join(lines))
    assert ended.code == 1
    assert "line 4: /type" in ended.err and "line 5: must be JSON" in ended.err
    assert ended.err.splitlines()[-1] == "450 recorded, 2 refused"
    found = eventbus(server, "search", "cli.piped", "--limit", "1000", "--order", "asc", "--json")
    assert [event["data"]["n"] for event in found.lines] == list(range(450))


def test_search_narrows_and_pages(server: ServerProcess) -> None:
    for n in range(3):
        server.api.publish("cli.search.done", {"words": f"blue whale {n}"}, subject=f"w{n}")
    found = eventbus(server, "search", "cli.search.*", "--text", '"blue whale"', "--json")
    assert [event["subject"] for event in found.lines] == ["w2", "w1", "w0"]
    one = eventbus(server, "search", "--subject", "w1", "--since", "1h", "--data")
    assert one.code == 0 and '{"words":"blue whale 1"}' in one.out
    none = eventbus(server, "search", "cli.search.*", "--until", "1d")
    assert (none.code, none.out, none.err.strip()) == (0, "", "no event was found")


def test_extensions_of_an_event_are_shown(server: ServerProcess) -> None:
    event = {"specversion": "1.0", "id": "extended", "source": "/x", "type": "cli.extended",
             "shard": 7, "tracestate": "<b>=1"}  # fmt: skip
    assert server.api.post("/api/events", event).status == 202
    lines = [line.split() for line in eventbus(server, "show", "extended").out.splitlines()]
    assert ["shard", "7"] in lines and ["tracestate", "<b>=1"] in lines
    page = server.api.get("/events/extended").text
    assert "&lt;b&gt;=1" in page and "<b>=1" not in page


def test_an_event_is_shown_by_id_and_by_sequence(server: ServerProcess) -> None:
    receipt = server.api.publish("trouble.flaky", {"failures": 9, "text": "ä\nb"})
    by_id = eventbus(server, "show", receipt["id"], "--tracebacks")
    assert '"text": "ä\\nb"' in by_id.out and "Traceback (most recent call last):" in by_id.out
    for name in (str(receipt["sequence"]), f"#{receipt['sequence']}"):
        shown = eventbus(server, "show", name, "--json").json
        assert shown["event"]["id"] == receipt["id"]
        assert shown["deliveries"][0]["state"] == "dead"


def test_a_trace_is_a_tree_with_latencies(server: ServerProcess) -> None:
    receipt = server.api.publish(
        "evaluation.failed",
        {"eval_id": "traced", "error": {"type": "OutOfMemory", "severity": "critical"}},
    )
    wait_until(
        lambda: server.api.get(f"/api/events/{receipt['id']}/trace").json["count"] >= 3, "it failed"
    )
    ended = eventbus(server, "trace", receipt["id"])
    first, *rest = ended.out.splitlines()
    assert first.startswith("evaluation.failed") and first.endswith("OutOfMemory  <")
    assert rest[0].startswith("├─ ") and " ms  alert.critical" in ended.out
    assert any(line.startswith("└─ ") for line in rest)
    assert eventbus(server, "trace", receipt["id"], "--json").json["count"] >= 3


def test_ascii_stands_in_where_lines_cannot_be_drawn(server: ServerProcess) -> None:
    receipt = server.api.publish("evaluation.started", {"eval_id": "ascii"}, id="ascii-ü")
    ended = eventbus(server, "trace", receipt["id"], PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert ended.code == 0, ended.err
    assert "`- " in ended.out and ended.out.isascii()


def test_counters_and_lists_are_the_servers(server: ServerProcess) -> None:
    server.api.publish("evaluation.started", {"eval_id": "listed", "task": "gsm8k", "total": 4})
    server.api.publish("alert.warning", {"service": "disk", "error": {"type": "Full"}})
    stats = server.api.get("/api/stats").json["counters"]
    assert eventbus(server, "stats", "--json").json["counters"] == stats
    assert f"open alerts      {stats['open_alerts']}" in eventbus(server, "stats").out
    listed = eventbus(server, "evaluations", "--task", "gsm8k").out
    assert "listed" in listed and "0/4" in listed
    assert "evaluation.started" in eventbus(server, "evaluations", "listed").out
    names = [each["name"] for each in eventbus(server, "subscriptions", "--json").lines]
    assert names == [s["name"] for s in server.api.get("/api/subscriptions").json["subscriptions"]]
    top = eventbus(server, "top", "--once")
    assert "rates by type" in top.out and "\x1b" not in top.out
    assert eventbus(server, "top", "--once", "--json").json["stats"]["counters"]


def test_alerts_are_decided_about_by_name(server: ServerProcess) -> None:
    server.api.publish("alert.critical", {"service": "gpu", "error": {"type": "Lost"}})
    listed = eventbus(server, "alerts", "--json").lines
    (alert,) = [each for each in listed if each["service"] == "gpu"]
    ended = eventbus(server, "alerts", "ack", alert["id"], "--by", "ann")
    assert (ended.code, ended.out) == (0, f"{alert['id']} acknowledged\n"), ended.err
    now = server.api.get(f"/api/alerts/{alert['id']}").json
    assert (now["state"], now["by"]) == ("acknowledged", "ann")
    assert eventbus(server, "alerts", "mute", alert["id"], "--for", "24h").code == 0
    assert eventbus(server, "alerts", "resolve", "nothing").code == 4


def test_evaluations_and_subscriptions_are_acted_upon(server: ServerProcess) -> None:
    server.api.publish("evaluation.started", {"eval_id": "called-off"})
    ended = eventbus(server, "evaluations", "called-off", "--cancel", "--by", "ann")
    assert (ended.code, ended.out) == (0, "called-off is cancelled\n"), ended.err
    ended = eventbus(server, "subscriptions", "pause", "storage", "--reason", "a test")
    assert (ended.code, ended.out) == (0, "storage paused\n"), ended.err
    assert eventbus(server, "subscriptions", "resume", "storage").out == "storage resumed\n"
    assert eventbus(server, "subscriptions", "resume", "storage").out.endswith("already resumed\n")


def test_what_is_scheduled_is_listed_and_taken_back(server: ServerProcess) -> None:
    for number in (3, 1, 2):
        ended = eventbus(
            server, "publish", "report.due", f"n={number}", "--delay", f"{number}h",
            "--id", f"due/{number}", "--subject", f"report-{number}",
        )  # fmt: skip
        assert ended.code == 0, ended.err
    listed = [line.split() for line in eventbus(server, "scheduled").out.splitlines()]
    assert listed[0] == ["due", "in", "id", "type", "subject"]
    assert [words[-3:] for words in listed if "report.due" in words] == [
        [f"due/{n}", "report.due", f"report-{n}"] for n in (1, 2, 3)
    ]
    lines = eventbus(server, "scheduled", "--json").lines
    ours = [(each["id"], each["data"]) for each in lines if each["type"] == "report.due"]
    assert ours == [(f"due/{n}", {"n": n}) for n in (1, 2, 3)]
    assert len(eventbus(server, "scheduled", "--json", "-n", "2").lines) == 2
    assert all(each["at"] for each in lines)
    ended = eventbus(server, "cancel", "due/1", "nothing", "due/3", "--by", "ann")
    assert (ended.code, ended.out) == (4, "due/1 is cancelled\ndue/3 is cancelled\n")
    assert "nothing is scheduled under the id 'nothing'" in ended.err
    assert eventbus(server, "cancel", "due/2", "--source", "/other").code == 4
    assert eventbus(server, "cancel", "due/2", "--json").json == {"id": "due/2", "cancelled": True}
    _, told = server.api.get("/api/events", type="bus.schedule.cancelled", limit=2).json["events"]
    assert (told["data"]["id"], told["data"]["by"]) == ("due/3", "ann")
    assert "report.due" not in eventbus(server, "scheduled").out


def test_a_subscription_that_nothing_serves_any_more_is_ended(server: ServerProcess) -> None:
    with RemoteEventBus(server.url) as remote:
        remote.subscribe("renamed.thing", print, name="old-name").wait_ready(LONG_S)
    server.api.publish("renamed.thing", {})
    wait_until(lambda: "unserved" in eventbus(server, "subscriptions").out, "its program has left")
    ended = eventbus(server, "subscriptions", "end", "old-name", input="n\n")
    assert ended.code == 1 and "1 pending event is cancelled" in ended.err, ended.err
    assert "old-name" in eventbus(server, "subscriptions").out
    ended = eventbus(server, "subscriptions", "end", "old-name", "--by", "ann", input="y\n")
    assert (ended.code, ended.out) == (0, "old-name is ended\n"), ended.err
    (told,) = server.api.get("/api/events", type="subscription.ended").json["events"]
    assert told["data"] == {"name": "old-name", "by": "ann"}
    ended = eventbus(server, "subscriptions", "end", "old-name", "--yes")
    assert ended.code == 4 and "there is no subscription 'old-name'" in ended.err
    ended = eventbus(server, "subscriptions", "end", "storage", "--yes")
    assert ended.code == 1 and "storage is served now" in ended.err
    assert eventbus(server, "subscriptions", "end").code == 2


def test_health_says_ready(server: ServerProcess) -> None:
    ended = eventbus(server, "health")
    assert ended.code == 0 and ended.out.startswith("ready, the newest event is #")
    assert eventbus(server, "health", "--json").json["status"] == "ready"


def test_exit_codes_tell_what_went_wrong(server: ServerProcess) -> None:
    for arguments, code, said in [
        (["show", "nothing"], 4, "there is no event with the id 'nothing'"),
        (["show", "#999999"], 4, "there is no event #999999"),
        (["evaluations", "nothing"], 4, "nothing"),
        (["publish", "not a type"], 1, "/type: "),
        (["publish", "a.b", "--at", "tomorrow"], 1, "/at: "),
        (["publish", "a.b", "x"], 2, "neither key=value"),
        (["publish", "a.b", "[1]"], 2, "neither key=value"),
        (["publish", "a.b", "{"], 2, "must be a JSON object"),
        (["publish"], 2, "TYPE is needed"),
        (["search", "ev*"], 2, "argument PATTERN"),
        (["search", "--since", "yesterday"], 2, "must be an age such as 15m"),
        (["export", "--resume"], 2, "--resume goes on with a file"),
        (["nonsense"], 2, "invalid choice"),
        (["search", "a.b", "c.d"], 2, "unrecognized argument: c.d"),
        (["publish", "a.b", "--whatever", "n=1"], 2, "unrecognized argument: --whatever"),
        (["search", "blue whale"], 2, "words are looked for with --text"),
        (["stats", "--url", "ftp://x"], 2, "must be like http://"),
        (["replay", "evaluation", "--yes"], 1, "rebuild"),
        (["replay", "evaluation", "a.*", "--yes"], 1, "rebuild"),
        (["replay", "evaluation", "a.*", "--type", "a.b"], 2, "are the same; give one"),
        (["search", "a.b", "--type", "a.*"], 2, "PATTERN and --type are the same"),
        (["export", "out/events.csv"], 2, "looks like a file: -o out/events.csv"),
        (["export", "events.ndjson"], 2, "and --type has a pattern that looks so"),
        (["redrive", "--delivery", "1@nope", "--yes"], 4, "nothing was done"),
        (["redrive", "--type", "no.such", "--yes"], 4, "0 dead letters selected"),
        (["discard", "no.such", "--reason", "a test", "--yes"], 4, "nothing was done"),
        (["stats", "--url", NOWHERE], 3, f"no event bus answers at {NOWHERE}"),
        (["tail", "--url", NOWHERE], 3, f"no event bus answers at {NOWHERE}"),
        (["export", "--url", NOWHERE], 3, f"no event bus answers at {NOWHERE}"),
    ]:
        ended = eventbus(server, *arguments)
        assert (ended.code, ended.out) == (code, ""), (arguments, ended)
        assert said in ended.err, (arguments, ended.err)
        assert "Traceback" not in ended.err


def test_types_are_given_in_their_place_or_by_name(server: ServerProcess) -> None:
    server.api.publish("named.thing", {})
    for command in (["search"], ["tail", "--no-follow"], ["export"]):
        lines = [
            eventbus(server, *command, *wanted, "--json").out
            for wanted in (["named.*"], ["--type", "named.*"])
        ]
        assert lines[0] == lines[1] and '"named.thing"' in lines[0], command


def test_a_line_of_a_batch_that_is_not_utf_8_is_told_as_such(server: ServerProcess) -> None:
    server.api.close()
    process = start(server.url, "publish", "--batch")
    assert process.stdin is not None
    process.stdin.buffer.write(
        b'{"type": "a.b"}\n{"type": "a.\xff"}\n' + '{"a": 1}'.encode("utf-16")
    )
    _out, err = process.communicate()
    assert process.returncode == 1 and "1 recorded, 2 refused" in err
    assert "line 2: must be UTF-8, byte 0xff at 12 is not" in err
    assert "line 3: must be UTF-8, byte 0xff at 0 is not" in err


def test_every_wrong_field_is_told(server: ServerProcess) -> None:
    ended = eventbus(server, "publish", "no type", "--time", "never")
    assert ended.code == 1
    first, *fields = ended.err.splitlines()
    assert first.startswith("eventbus: /") and first.endswith("nothing was recorded")
    assert sorted(field.split(":")[0].strip() for field in fields) == ["/time", "/type"]


def test_a_terminal_never_obeys_what_is_in_an_event(server: ServerProcess) -> None:
    server.api.publish(
        "hostile.failed",
        {"eval_id": "x", "error": {"type": HOSTILE, "message": HOSTILE}, HOSTILE: HOSTILE},
        subject="hostile\u202e",
    )
    dead = server.api.publish("trouble.flaky", {"failures": 9, "x": HOSTILE})
    for arguments in (
        ["search", "hostile.*"], ["search", "hostile.*", "--data"],
        ["search", "hostile.*", "--json"],
        ["tail", "hostile.*", "--no-follow"], ["tail", "hostile.*", "--no-follow", "--data"],
        ["show", dead["id"]], ["show", dead["id"], "--json"], ["trace", dead["id"]],
        ["search", "hostile.*", "--color", "always"], ["export", "hostile.*"],
    ):  # fmt: skip
        out = eventbus(server, *arguments).out
        assert "hostile" in out or "trouble" in out
        if "--color" in arguments:
            out = out.replace("\x1b[2m", "").replace("\x1b[0m", "").replace("\x1b[31m", "")
            out = out.replace("\x1b[1;31m", "")
        if arguments[0] != "export":  # into a pipe it is the server's, byte by byte
            assert not [char for char in out if not char.isprintable() and char != "\n"], arguments
    (event,) = eventbus(server, "search", "hostile.*", "--json").lines
    assert event["data"]["error"]["message"] == HOSTILE  # the same value, written harmlessly


def test_the_output_may_be_closed_early(server: ServerProcess) -> None:
    process = start(server.url, "search", "--limit", "100000", "--json")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == ""
