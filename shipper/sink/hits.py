"""How the local store is searched: index by index, from the newest, until there are enough hits.

Promises: the newest hits of all indices, whatever their names say of their days. Does not know:
which database it reads; what it needs of that is `Reader`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from shipper.sink import tables
from shipper.sink.query import Filter, Hit, Query
from shipper.sink.stored import text_of

Parameter = str | int

_NEWEST_TIME = "SELECT coalesce(max(time), '') FROM documents_{n}"
_SEARCH = """
WITH newest AS (
    SELECT number FROM documents_{n} WHERE {conditions} ORDER BY time DESC, number DESC LIMIT ?)
SELECT d.id, d.time, o.namespace, o.pod, o.container, o.stream, o.tag, d.head, o.suffix
FROM newest JOIN documents_{n} d USING (number) JOIN origins_{n} o ON o.number = d.origin
ORDER BY d.time DESC, d.number DESC
"""
# The `+` keeps SQLite from starting here: it scans the times from the newest, and looks each up
# among what matches. The other way sorts all that matches: a frequent word takes three times as
# long (0.4 s of 2 million documents).
_MATCHES = "+number {is_in} (SELECT rowid FROM words_{n} WHERE words_{n} MATCH ?)"
_COMES_FROM = "+origin IN (SELECT number FROM origins_{n} WHERE {conditions})"


class Reader(Protocol):
    """A database that is read within one transaction."""

    def execute(self, statement: str, parameters: Sequence[Parameter] = ..., /) -> Iterable[Any]:
        """Return the rows that a statement finds."""


@dataclass(slots=True)
class _Conditions:
    """A conjunction under construction, with its parameters in order."""

    texts: list[str] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)

    def add(self, text: str, *parameters: Parameter) -> None:
        self.texts.append(text)
        self.parameters.extend(parameters)

    def joined(self) -> str:
        return " AND ".join(self.texts)


def newest_hits(db: Reader, query: Query, *, limit: int, since: str) -> list[Hit]:
    """Return the newest hits, newest first."""
    hits: list[Hit] = []
    for newest_time, n, name in _indices(db, query):
        if len(hits) >= limit and newest_time < hits[-1].time:
            break
        statement, parameters = _statement(n, query, limit=limit, since=since)
        hits += [_hit(name, row) for row in db.execute(statement, parameters)]
        hits = sorted(hits, key=lambda hit: hit.time, reverse=True)[:limit]
    return hits


def _indices(db: Reader, query: Query) -> list[tuple[str, int, str]]:
    """Return newest time, number and name of the indices that can hold hits, newest first."""
    filters = [part for part in query.filters if part.field == "index"]
    found = [
        (time, n, name)
        for n, name, _ in list(db.execute(tables.OLDEST_INDICES))
        if all(part.accepts(name) for part in filters)
        for (time,) in db.execute(_NEWEST_TIME.format(n=n))
    ]
    return sorted(found, reverse=True)


def _hit(index: str, row: Sequence[Any]) -> Hit:
    name, time, namespace, pod, container, stream, tag, head, suffix = row
    return Hit(
        index=index,
        id=name,
        time=time,
        namespace=namespace,
        pod=pod,
        container=container,
        stream=stream,
        tag=tag,
        text=text_of(head, suffix),
        document=head + suffix,
    )


def _statement(n: int, query: Query, *, limit: int, since: str) -> tuple[str, list[Parameter]]:
    """Return the statement that finds the newest hits in an index, newest first."""
    conditions = _Conditions()
    conditions.add("time >= ?", since)
    if query.wanted:
        conditions.add(_MATCHES.format(n=n, is_in="IN"), query.wanted)
    if query.unwanted:
        conditions.add(_MATCHES.format(n=n, is_in="NOT IN"), query.unwanted)
    origin = _origin_conditions(query)
    if origin.texts:
        text = _COMES_FROM.format(n=n, conditions=origin.joined())
        conditions.add(text, *origin.parameters)
    statement = _SEARCH.format(n=n, conditions=conditions.joined())
    return statement, [*conditions.parameters, limit]


def _origin_conditions(query: Query) -> _Conditions:
    conditions = _Conditions()
    for part in query.filters:
        if part.field != "index":
            conditions.add(*_condition(part))
    return conditions


def _condition(part: Filter) -> tuple[str, *tuple[Parameter, ...]]:
    # The field is one of query.FIELDS, which is what makes it fit to be a name.
    sign = "NOT " if part.excluded else ""
    if part.prefix:
        return f"{sign}substr({part.field}, 1, ?) = ?", len(part.value), part.value
    return f"{sign}{part.field} = ?", part.value
