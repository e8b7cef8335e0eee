"""The query language of the local store, and how its hits are shown. Pure: text in, values out.

A query is words, all of which a document's text must hold, in any order and any case:

* `error`, `time*` (any word that begins so), `"connection reset"` (these words, one after another);
* `namespace:shop`, `pod:web*`, `container:`, `stream:`, `tag:`, `index:` (exact, or what it begins
  with);
* `-` before any of these excludes what it matches.

A word that holds punctuation, such as `web-7d4f` or `12:30`, is a phrase of its parts.

Promises: any text is either a query or a ConfigError that says what is wrong with it; nothing in
it is ever read as SQL or as FTS5's own language. What a hit holds cannot steer a terminal.
Does not know: SQLite, files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from shipper.errors import ConfigError

FIELDS = ("namespace", "pod", "container", "stream", "tag", "index")
"""Fields that a query can name."""

_MAX_PARTS = 64
"""FTS5 refuses expressions that are 256 deep; nobody types more words than this."""
_MAX_CHARS = 4_000

_PART = re.compile(
    r'(?P<minus>-?)(?:(?P<field>[A-Za-z_]+):)?(?:"(?P<quoted>[^"]*)"(?P<star>\*?)|(?P<bare>[^\s"]+))'
    r"(?=\s|$)"
)
_SINCE = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

# Besides the C0 and C1 controls (an escape sequence retitles the terminal, or worse): what turns
# or breaks the line, so that one hit could be read as another.
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_DIM, _BOLD, _PLAIN = "\x1b[2m", "\x1b[1;33m", "\x1b[0m"
_NEXT_LINE = "\n    | "
"""Begins each further line of a text: none of them can pass for a hit."""


@dataclass(frozen=True, slots=True)
class Term:
    """Words that follow one another in the text of a document.

    Attributes:
        text: The words, as they were typed.
        prefix: Whether the last one is only the beginning of a word.
        excluded: Whether documents that hold them are left out.
    """

    text: str
    prefix: bool = False
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """What a field of a document has to be.

    Attributes:
        field: One of `FIELDS`.
        value: The value, or its beginning.
        prefix: Whether it is only the beginning.
        excluded: Whether documents that have it are left out.
    """

    field: str
    value: str
    prefix: bool = False
    excluded: bool = False

    def accepts(self, value: str) -> bool:
        """Tell whether a document with this value is a hit."""
        matches = value.startswith(self.value) if self.prefix else value == self.value
        return matches != self.excluded


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query: every term and every filter has to hold."""

    terms: tuple[Term, ...] = ()
    filters: tuple[Filter, ...] = ()

    @property
    def wanted(self) -> str:
        """What a text must hold, as an FTS5 expression; empty if that is nothing."""
        return " AND ".join(_fts5(term) for term in self.terms if not term.excluded)

    @property
    def unwanted(self) -> str:
        """What a text must not hold, as an FTS5 expression; empty if that is nothing."""
        return " OR ".join(_fts5(term) for term in self.terms if term.excluded)


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found.

    Attributes:
        index: The index it is in.
        id: Its `_id`.
        time: RFC 3339 in UTC without its `Z`, so that such times sort as text.
        namespace: Empty if it has none; so are the next four.
        pod: Name of the pod.
        container: Name of the container.
        stream: `stdout` or `stderr`.
        tag: Fluentd's tag.
        text: What was logged.
        document: Its JSON, as it was delivered.
    """

    index: str
    id: str
    time: str
    namespace: str
    pod: str
    container: str
    stream: str
    tag: str
    text: str
    document: bytes


def parse(text: str) -> Query:
    """Read a query; the empty one matches every document.

    Raises:
        ConfigError: It is none; the message quotes the part that is wrong.
    """
    _check(text)
    terms: list[Term] = []
    filters: list[Filter] = []
    position = _skip_space(text, 0)
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            raise ConfigError(f"{text[position:]!r}: quotes stand in pairs, around whole words")
        part = _part(match)
        terms.append(part) if isinstance(part, Term) else filters.append(part)
        position = _skip_space(text, match.end())
    if len(terms) + len(filters) > _MAX_PARTS:
        raise ConfigError(f"the query has more than {_MAX_PARTS} words")
    return Query(tuple(terms), tuple(filters))


def parse_since(text: str, now: datetime) -> str:
    """Return the earliest time of a hit, such as `Hit.time`, from `15m`, `2h`, `3d` or a date.

    Raises:
        ConfigError: It is neither a span of time nor an ISO 8601 date or time.
    """
    try:
        span = _SINCE.fullmatch(text)
        if span is not None:
            moment = now - timedelta(**{_UNITS[span[2]]: int(span[1])})
        else:
            moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    except (ValueError, OverflowError):
        raise ConfigError(f"since {text!r}: write 15m, 2h, 3d or 2026-11-23T10:00:00Z") from None


def format_hit(hit: Hit, query: Query, *, color: bool = False, max_chars: int = 2_000) -> str:
    """Return a hit as a line to read: time, origin and text, harmless to a terminal.

    Args:
        hit: The hit.
        query: What it was found by: its words are highlighted.
        color: Whether to write colors.
        max_chars: Longer texts are cut, and say so.
    """
    text = hit.text.rstrip("\r\n")
    shown, cut = text[:max_chars], len(text) - max_chars
    shown = _highlight(shown, query.terms) if color else _harmless(shown)
    shown = shown.replace("\n", _NEXT_LINE)
    if cut > 0:
        shown += f" … and {cut} more characters"
    time = _DIM + _clock(hit.time) + _PLAIN if color else _clock(hit.time)
    return f"{time} {_origin(hit)} | {shown}"


def json_of(hit: Hit) -> bytes:
    """Return a hit as one line of JSON: `_index`, `_id`, and the document verbatim."""
    head = orjson.dumps({"_index": hit.index, "_id": hit.id})
    return head[:-1] + b',"_source":' + hit.document + b"}"


def _check(text: str) -> None:
    if len(text) > _MAX_CHARS:
        raise ConfigError(f"the query is longer than {_MAX_CHARS} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{text!r}: is not valid UTF-8") from None


def _skip_space(text: str, position: int) -> int:
    return len(text) - len(text[position:].lstrip())


def _part(match: re.Match[str]) -> Term | Filter:
    excluded, field = bool(match["minus"]), match["field"]
    value, prefix = _value(match)
    if field and field.lower() in FIELDS:
        return Filter(field.lower(), value, prefix, excluded)
    if field and match["bare"] and value.startswith("//"):
        return _term(match, f"{field}:{value}", prefix=prefix, excluded=excluded)  # a URL
    if field:
        raise ConfigError(
            f"{match[0]!r}: there is no field {field!r}, only {', '.join(FIELDS)};"
            f" quote the whole to look for it in the text"
        )
    return _term(match, value, prefix=prefix, excluded=excluded)


def _value(match: re.Match[str]) -> tuple[str, bool]:
    """Return what stands in a part, and whether a `*` stands after it."""
    if match["bare"] is None:
        return match["quoted"], bool(match["star"])
    value = match["bare"].removesuffix("*")
    if not value or "*" in value:
        raise ConfigError(f"{match[0]!r}: `*` stands only at the end of a word")
    if not match["field"] and value.endswith(":") and value[:-1].lower() in FIELDS:
        raise ConfigError(f"{match[0]!r}: a value has to follow, such as {value}web")
    return value, value != match["bare"]


def _term(match: re.Match[str], text: str, *, prefix: bool, excluded: bool) -> Term:
    if not any(character.isalnum() for character in text):
        raise ConfigError(f"{match[0]!r}: holds no letter and no digit, only words can be found")
    return Term(text, prefix, excluded)


def _fts5(term: Term) -> str:
    # A NUL would end the expression; for the tokenizer it is a gap between words, as a space is.
    text = term.text.replace("\0", " ").replace('"', '""')
    return f'"{text}"{" *" if term.prefix else ""}'


def _clock(time: str) -> str:
    day, _, clock = time.partition("T")
    return _one_line(f"{day} {clock[:8]}.{clock[9:12]:0<3}")


def _origin(hit: Hit) -> str:
    place = f"{hit.namespace}/{hit.pod} {hit.container}" if hit.pod else hit.tag
    return _one_line(f"{place} {hit.stream}".strip()) or "-"


def _highlight(text: str, terms: Iterable[Term]) -> str:
    patterns = [_pattern(term) for term in terms if not term.excluded]
    if not patterns:
        return _harmless(text)
    # One group: `split` returns what lies between the matches and the matches, in turn.
    pieces = re.split(f"({'|'.join(patterns)})", text, flags=re.IGNORECASE)
    pieces = [_harmless(piece) for piece in pieces]
    pieces[1::2] = [f"{_BOLD}{piece}{_PLAIN}" for piece in pieces[1::2]]
    return "".join(pieces)


def _pattern(term: Term) -> str:
    words = re.findall(r"[^\W_]+", term.text)
    end = r"[^\W_]*" if term.prefix else r"(?![^\W_])"
    return r"(?<![^\W_])" + r"[\W_]+".join(words) + end


def _one_line(text: str) -> str:
    return _harmless(text).replace("\n", "\\n")


def _harmless(text: str) -> str:
    return _HARMFUL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004
