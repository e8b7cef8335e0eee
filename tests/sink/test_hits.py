import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shipper.errors import ConfigError
from shipper.sink.local import search
from shipper.sink.query import Filter, Query, Term, parse
from tests.sink.documents import Document, deliver

WORDS = (
    "get",
    "GET",
    "health",
    "healthz",
    "\u00fcber",
    "10",
    "1.5",
    "a-b",
    "a_b",
    "a",
    "b",
    "\u65e5",
)
GAPS = (" ", "  ", "\n", "\t", "=", "\0")
DAYS = ("logstash-2026.11.22", "logstash-2026.11.23", "other")
SECONDS = tuple(f"2026-11-23T10:11:12{fraction}Z" for fraction in ("", ".5", ".45", ".123456789"))

FEWER = settings(max_examples=settings().max_examples // 3)  # each makes a store

words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)
texts = st.lists(st.sampled_from([*WORDS, *GAPS])).map("".join)
bulk_documents = st.lists(
    st.builds(
        Document,
        id=st.uuids().map(str),
        text=texts,
        time=st.sampled_from(SECONDS),
        index=st.sampled_from(DAYS),
        namespace=st.sampled_from(["shop", "shops", ""]),
        pod=st.sampled_from(["web-1", "web-2", "%"]),
        stream=st.sampled_from(["stdout", "stderr"]),
    ),
    max_size=25,
)
queries = st.builds(
    Query,
    terms=st.lists(
        st.builds(
            Term, st.tuples(words, st.sampled_from([" ", "-"])).map(lambda t: t[1].join(t[0])),
            prefix=st.booleans(), excluded=st.booleans(),
        ),
        max_size=3,
    ).map(tuple),
    filters=st.lists(
        st.builds(
            Filter,
            field=st.sampled_from(["namespace", "pod", "stream", "index", "tag"]),
            value=st.sampled_from(["shop", "web", "web-1", "std", "stderr", "%", "log", *DAYS]),
            prefix=st.booleans(),
            excluded=st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
)  # fmt: skip


@contextmanager
def stored(documents: Iterable[Document]) -> Iterator[Path]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "store.db")
        deliver(path, list(documents))
        yield path


def tokens(text: str) -> list[str]:
    return [word.lower().replace("\u00fc", "u") for word in re.findall(r"[^\W_]+", text)]


def holds(text: str, term: Term) -> bool:
    """Whether the words of a term follow one another in a text, said naively."""
    there, wanted = tokens(text), tokens(term.text)
    for start in range(len(there) - len(wanted) + 1):
        run = there[start : start + len(wanted)]
        last = run[-1].startswith(wanted[-1]) if term.prefix else run[-1] == wanted[-1]
        if last and run[:-1] == wanted[:-1]:
            return True
    return False


def is_hit(document: Document, query: Query) -> bool:
    return all(holds(document.text, term) != term.excluded for term in query.terms) and all(
        part.accepts(getattr(document, part.field)) for part in query.filters
    )


@FEWER
@given(bulk_documents, queries)
def test_hits_are_those_of_a_naive_search(documents: list[Document], query: Query) -> None:
    """A document is a hit exactly if each of its words and fields is as the query says."""
    with stored(documents) as path:
        hits = search(path, query, limit=100)
    assert {hit.id for hit in hits} == {d.id for d in documents if is_hit(d, query)}


@FEWER
@given(bulk_documents, st.integers(1, 30), st.sampled_from(["", *SECONDS]))
def test_newest_hits_are_chosen(documents: list[Document], limit: int, since: str) -> None:
    """A limit keeps the newest of all indices, shown from the oldest on, and none before since."""
    since = since.removesuffix("Z")
    times = sorted(time for d in documents if (time := d.time.removesuffix("Z")) >= since)
    with stored(documents) as path:
        hits = search(path, Query(), limit=limit, since=since)
    assert [hit.time for hit in hits] == times[-limit:]


def test_indices_are_searched_until_none_has_newer(tmp_path: Path) -> None:
    """The newest hits are found where the indices of two prefixes share the times."""
    order = [("a", "10"), ("b", "11"), ("a", "12"), ("b", "13"), ("a", "14")]
    sent = [Document(second, index=i, time=f"2026-11-23T10:11:{second}Z") for i, second in order]
    deliver(tmp_path / "store.db", sent)
    hits = search(tmp_path / "store.db", Query(), limit=3)
    assert [(hit.index, hit.id) for hit in hits] == order[2:]


def test_times_sort_by_their_value(tmp_path: Path) -> None:
    """A time without a fraction comes before the fractions of its second."""
    order = ["12", "12.000000001", "12.05", "12.5", "12.50001", "13"]
    sent = [Document(second, time=f"2026-11-23T10:11:{second}Z") for second in reversed(order)]
    deliver(tmp_path / "store.db", sent)
    assert [hit.id for hit in search(tmp_path / "store.db", Query(), limit=9)] == order


def test_lines_of_one_time_stay_in_order(tmp_path: Path) -> None:
    """Plain lines have the time at which their block was read; they are shown as they came."""
    sent = [Document(f"key-{number}") for number in range(50)]
    deliver(tmp_path / "store.db", sent[:30], sent[30:])
    hits = search(tmp_path / "store.db", parse("line"), limit=40)
    assert [hit.id for hit in hits] == [document.id for document in sent[10:]]


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_is_at_least_one(tmp_path: Path, limit: int) -> None:
    """A search for no hits at all is a mistake in the command line."""
    with pytest.raises(ConfigError, match="must be 1 or more"):
        search(tmp_path / "store.db", Query(), limit=limit)


@pytest.mark.parametrize("field", ["namespace", "pod", "container", "stream", "tag", "index"])
def test_each_field_is_found(tmp_path: Path, field: str) -> None:
    """Each field that a query can name finds its documents, and excludes them."""
    this = Document("this", namespace="n", pod="p", container="c", stream="stderr", index="i")
    deliver(tmp_path / "store.db", [this, Document("other")])
    value = getattr(this, field)
    for text, hit in ((f"{field}:{value}", "this"), (f"-{field}:{value}", "other")):
        assert [hit.id for hit in search(tmp_path / "store.db", parse(text), limit=9)] == [hit]


@FEWER
@given(st.text("\"'*:;-()\\%_ \0abANDOTNER^+{}[],."))
def test_no_query_is_run_as_sql(text: str) -> None:
    """Whatever is typed is a search or a ConfigError, and the store stays as it was."""
    try:
        query = parse(text)
    except ConfigError:
        assume(False)  # noqa: FBT003
    with stored([Document("key-0", "a b AND NOT NEAR")]) as path:
        before = path.read_bytes()
        search(path, query, limit=9)
        assert path.read_bytes() == before


@FEWER
@given(st.text(min_size=1))
def test_any_phrase_is_searched(text: str) -> None:
    """A phrase of any characters is searched without an error, and finds itself."""
    phrase = f"begin{text}end".replace('"', "")
    with stored([Document("key-0", phrase)]) as path:
        assert len(search(path, Query((Term(phrase),)), limit=9)) == 1
