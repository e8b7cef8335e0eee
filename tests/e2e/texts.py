"""The texts of documents, held against the texts that were written."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.fakes.elasticsearch import FakeElasticsearch

SHOWN = 5


def texts_of(documents: Iterable[dict[str, Any]]) -> Counter[str]:
    """How often each text was delivered, without the newline that docker keeps."""
    return Counter(document["log"].removesuffix("\n") for document in documents)


def faults(written: Iterable[str], fake: FakeElasticsearch) -> list[str]:
    """Say which texts are lost, and which are there that should not be; best nothing."""
    wanted, seen = Counter(written), texts_of(list(fake.documents.values()))
    return [*_few("lost", wanted - seen), *_few("too many", seen - wanted)]


def _few(what: str, texts: Counter[str]) -> list[str]:
    shown = [f"{what}: {n} × {text[:80]!r} ({len(text)})" for text, n in texts.most_common(SHOWN)]
    return [*shown, f"{what}: {texts.total()} in all"] if shown else []
