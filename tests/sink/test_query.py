import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shipper.errors import ConfigError
from shipper.sink.query import (
    FIELDS,
    Filter,
    Hit,
    Query,
    Term,
    format_hit,
    json_of,
    parse,
    parse_since,
)

NOW = datetime(2026, 11, 23, 10, 11, 12, tzinfo=UTC)
COLORS = re.compile(r"\x1b\[[0-9;]*m")
# What people type, and what they should not have typed.
PIECES = (
    *('"', "*", ":", "-", " ", "(", ")", "'", ";", "\\", "%", "_", "\0", "\t", "\u00e9", "\ud800"),
    *("AND", "OR", "NOT", "NEAR(", "word", "10:30", "http://x", "DROP TABLE indices"),
    *(f"{field}:" for field in (*FIELDS, "level")),
)


def typed() -> st.SearchStrategy[str]:
    return st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join))


def hit(text: str = "a line\n", **fields: str) -> Hit:
    values = {
        "index": "logstash-2026.11.23",
        "id": "key-0",
        "time": "2026-11-23T10:11:12.123456789",
        "namespace": "shop",
        "pod": "web-7d4f8c9b6-x2x7p",
        "container": "web",
        "stream": "stderr",
        "tag": "kubernetes.web",
    }
    return Hit(**{**values, **fields}, text=text, document=b'{"log":"a line\\n"}')


@pytest.mark.parametrize(
    ("text", "terms", "filters"),
    [
        ("", [], []),
        ("  ", [], []),
        ("error Timeout", [Term("error"), Term("Timeout")], []),
        ("time*", [Term("time", prefix=True)], []),
        ('"connection reset" -by', [Term("connection reset"), Term("by", excluded=True)], []),
        ('-"a b"*', [Term("a b", prefix=True, excluded=True)], []),
        ("web-7d4f 10:30 http://x/y", [Term("web-7d4f"), Term("10:30"), Term("http://x/y")], []),
        ("AND OR NEAR(a", [Term("AND"), Term("OR"), Term("NEAR(a")], []),
        ("--flag", [Term("-flag", excluded=True)], []),
        ("namespace:shop", [], [Filter("namespace", "shop")]),
        ("POD:web*", [], [Filter("pod", "web", prefix=True)]),
        (
            '-stream:stdout pod:""',
            [],
            [Filter("stream", "stdout", excluded=True), Filter("pod", "")],
        ),
        ("index:logstash-2026.11.*", [], [Filter("index", "logstash-2026.11.", prefix=True)]),
        ("a\ttag:x\n", [Term("a")], [Filter("tag", "x")]),
    ],
)
def test_query_is_read(text: str, terms: list[Term], filters: list[Filter]) -> None:
    """Words, phrases, prefixes, filters and exclusions are told apart."""
    assert parse(text) == Query(tuple(terms), tuple(filters))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('"', "quotes stand in pairs"),
        ('"open', "quotes stand in pairs"),
        ('say"hi"', "quotes stand in pairs"),
        ('"a""b"', "quotes stand in pairs"),
        ("*", "only at the end of a word"),
        ("**", "only at the end of a word"),
        ("a*b", "only at the end of a word"),
        ("pod:*", "only at the end of a word"),
        (":", "no letter and no digit"),
        ("-", "no letter and no digit"),
        ('""', "no letter and no digit"),
        ("namespace:", "a value has to follow"),
        ("-pod: web", "a value has to follow"),
        ("level:error", "there is no field 'level'"),
        ('name:"a b"', "there is no field 'name'"),
        ("a\ud800", "not valid UTF-8"),
        ("a " * 65, "more than 64 words"),
        ("a" * 5000, "longer than 4000 characters"),
    ],
)
def test_what_is_no_query_is_refused(text: str, complaint: str) -> None:
    """A text that is no query is refused with words that say what is wrong."""
    with pytest.raises(ConfigError, match=complaint):
        parse(text)


@given(typed())
def test_any_text_is_a_query_or_a_config_error(text: str) -> None:
    """No text makes the parser raise anything but ConfigError."""
    try:
        query = parse(text)
    except ConfigError:
        return
    assert all(part.field in FIELDS for part in query.filters)


@given(st.text(min_size=1))
def test_quotes_take_any_words_literally(text: str) -> None:
    """What stands in quotes is one phrase, whatever it is, if it holds a word and no quote."""
    phrase = "a" + text.replace('"', "")
    assert parse(f'"{phrase}"') == Query((Term(phrase),))


def test_expressions_quote_every_word() -> None:
    """Each word goes to FTS5 as a quoted string, so none of it is read as FTS5's own language."""
    query = Query((Term('a" OR "b'), Term("c\0", prefix=True), Term("d", excluded=True)))
    assert query.wanted == '"a"" OR ""b" AND "c " *'
    assert query.unwanted == '"d"'


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("90s", "2026-11-23T10:09:42"),
        ("15m", "2026-11-23T09:56:12"),
        ("2h", "2026-11-23T08:11:12"),
        ("3d", "2026-11-20T10:11:12"),
        ("1w", "2026-11-16T10:11:12"),
        ("2026-11-20", "2026-11-20T00:00:00"),
        ("2026-11-20T12:00", "2026-11-20T12:00:00"),
        ("2026-11-20T12:00:00.25Z", "2026-11-20T12:00:00.250000"),
        ("2026-11-20T12:00:00+02:00", "2026-11-20T10:00:00"),
    ],
)
def test_since_is_a_span_or_a_date(text: str, time: str) -> None:
    """A span counts back from now, a date stands for itself, and both become UTC."""
    assert parse_since(text, NOW) == time
    assert parse_since(text, NOW.astimezone(timezone(timedelta(hours=5)))) == time


@given(typed())
@example("999999999w")
@example("0001-01-01T00:00+14:00")
def test_any_since_is_a_time_or_a_config_error(text: str) -> None:
    """No text given for a time raises anything but ConfigError."""
    try:
        time = parse_since(text, NOW)
    except ConfigError:
        return
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", time)


def test_hit_is_a_line_to_read() -> None:
    """A hit shows its time to the millisecond, where it is from, and its text."""
    line = "2026-11-23 10:11:12.123 shop/web-7d4f8c9b6-x2x7p web stderr | a line"
    assert format_hit(hit(), Query()) == line


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"time": "2026-11-23T10:11:12"}, "2026-11-23 10:11:12.000 shop/p web stderr | a line"),
        ({"time": "2026-11-23T10:11:12.5"}, "2026-11-23 10:11:12.500 shop/p web stderr | a line"),
        ({"pod": "", "stream": ""}, "2026-11-23 10:11:12.123 kubernetes.web | a line"),
        ({"pod": "", "stream": "", "tag": ""}, "2026-11-23 10:11:12.123 - | a line"),
    ],
)
def test_what_a_document_lacks_is_left_out(fields: dict[str, str], line: str) -> None:
    """A short fraction is filled up, and a document without a pod shows its tag."""
    assert format_hit(hit(**{"pod": "p", **fields}), Query()) == line


def test_further_lines_of_a_text_are_indented() -> None:
    """No line of a text can pass for a hit of its own."""
    shown = format_hit(hit("one\n2026-11-23 fake | two\r\n"), Query())
    assert shown.endswith("| one\n    | 2026-11-23 fake | two")


def test_long_texts_are_cut() -> None:
    """A text beyond the maximum says how much of it is missing."""
    assert format_hit(hit("abcdef"), Query(), max_chars=4).endswith(
        "| abcd … and 2 more characters"
    )


@given(st.text(), st.text(), st.booleans())
@example("\x1b]0;title\x07\x9b2J\u202e\u2028", "\x1b[2J\n", True)  # noqa: FBT003
def test_hits_cannot_steer_a_terminal(text: str, name: str, color: bool) -> None:
    """Control characters, and what turns or breaks lines, are shown as escapes, tabs excepted."""
    found = hit(text, pod=name, container=name, stream=name, tag=name, time=name)
    shown = COLORS.sub("", format_hit(found, Query((Term("a"),)), color=color))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown)
    assert all(line.startswith("    | ") for line in shown.split("\n")[1:])


def test_matches_are_highlighted() -> None:
    """In color, the words that were looked for stand out, whatever their case."""
    query = parse('error "reset by" peer* -line namespace:shop')
    shown = format_hit(hit("ERROR, terror: reset-by peers; line"), query, color=True)
    assert re.findall(r"\x1b\[1;33m(.*?)\x1b\[0m", shown) == ["ERROR", "reset-by", "peers"]


@given(st.text(), st.lists(st.text("ab\u00c4 .*(["), max_size=3))
def test_colors_add_nothing_but_colors(text: str, words: list[str]) -> None:
    """Without its color codes a colored hit is the plain one."""
    query = Query(tuple(Term(f"a{word}", prefix="." in word) for word in words))
    found = hit(text)
    assert COLORS.sub("", format_hit(found, query, color=True)) == format_hit(found, query)


def test_json_holds_the_document_verbatim() -> None:
    """A hit as JSON is its index, its id and the bytes that were delivered."""
    line = json_of(hit())
    assert line.endswith(b'"_source":{"log":"a line\\n"}}')
    assert json.loads(line) == {
        "_index": "logstash-2026.11.23",
        "_id": "key-0",
        "_source": {"log": "a line\n"},
    }
