"""The stream of changes on the command line: how it is read, and how a change is shown."""

from cli.changes import Event, line_of, parse

STREAM = b"""\
: beat
id: g1-i1.4
retry: 1000

id: g1-i1.7
event: change
data: {"seq": 7}

: beat
id: g1-i1.9

event: end
data: {"reason": "stopping"}

id: g1-i1.12
event: change
data: {"seq": 12
"""


def test_a_stream_is_read_event_by_event_and_a_broken_one_to_its_last_whole_event() -> None:
    assert list(parse(STREAM.splitlines(keepends=True))) == [
        Event("", {}, "g1-i1.4"),
        Event("change", {"seq": 7}, "g1-i1.7"),
        Event("", {}, "g1-i1.9"),
        Event("end", {"reason": "stopping"}, "g1-i1.9"),
    ]


def test_a_change_is_one_line_and_says_nothing_to_the_terminal() -> None:
    change = {
        "seq": 7,
        "committed_at": "2026-11-21T12:00:00.123456Z",
        "op": "upsert",
        "source": "wiki",
        "doc_id": "travel",
        "title": "Travel \x1b[31m",
    }
    assert line_of(change) == "       7  2026-11-21T12:00:00  upsert  wiki/travel  Travel  [31m"
    gone = change | {"op": "gone", "title": None}
    assert line_of(gone) == "       7  2026-11-21T12:00:00  gone    wiki/travel"
