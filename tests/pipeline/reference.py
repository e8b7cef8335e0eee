"""What the pipeline must make of lines: one after another, each by the reference path alone."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from shipper.pipeline.assemble import Assembler
from shipper.pipeline.chain import Chain
from shipper.pipeline.decode import decode
from shipper.pipeline.encode import encode
from shipper.pipeline.enrich import Enrichment, suffix_of
from shipper.pipeline.names import CONTAINER_TAG, PATH_TAG, names_of, tag_of
from shipper.pipeline.route import action_prefix, index_of
from shipper.pipeline.splice import Splicer
from shipper.pipeline.timestamp import comparable
from tests.pipeline.lines import DAY, NOW

PATH = f"/var/log/containers/web-0_shop_web-{'ab' * 32}.log"
KEY = "0123456789abcdef0123"
FIELDS = {"cluster": "north"}
MAX_RECORD_BYTES = 1 << 20
TAG = tag_of(PATH, "kubernetes.*")
SUFFIX = suffix_of(names_of(PATH), TAG, fields=FIELDS)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a bulk body.

    Attributes:
        action: Its action line.
        fields: Its fields in their order, also one that is there twice.
        source: The same as a reader sees it.
    """

    action: bytes
    fields: list[tuple[str, Any]]
    source: dict[str, Any]

    @property
    def id(self) -> str:
        """Its `_id`."""
        return str(json.loads(self.action)["create"]["_id"])


def documents_of(body: bytes) -> list[Document]:
    """Take a bulk body apart; fails where it is none."""
    lines = list(BytesIO(body))
    assert len(lines) % 2 == 0
    assert body.endswith(b"\n") or not body
    pairs = zip(lines[::2], lines[1::2], strict=True)
    return [Document(action, _fields_of(text), json.loads(text)) for action, text in pairs]


def make_chain(path: str = PATH, *, max_record_bytes: int = MAX_RECORD_BYTES) -> Chain:
    """Return the chain that is compared with the reference."""
    names = names_of(path)
    tag = tag_of(path, CONTAINER_TAG if names else PATH_TAG)
    enrichment = Enrichment(suffix_of(names, tag, fields=FIELDS), "logstash")
    return Chain(tag, enrichment, container=names is not None, max_record_bytes=max_record_bytes)


def reference(data: bytes, offset: int = 0) -> list[Document]:
    """Return what the reference path makes of lines that have their end in them."""
    return documents_of(reference_body(data, offset))


def reference_body(data: bytes, offset: int = 0) -> bytes:
    """Return the same as the bulk body."""
    return b"".join(_encoded(BytesIO(data), offset))


def spliced_by(
    splicer: Splicer, block: bytes, offset: int = 0, *, day: str = DAY, since: str = ""
) -> tuple[bytes, int] | None:
    """Let a fast path take a block, as the chain does."""
    prefix = action_prefix(index_of("logstash", day), KEY)
    earliest = comparable(since).encode() if since else b""
    return splicer.splice(block, offset, day=day, prefix=prefix, suffix=SUFFIX, since=earliest)


def _encoded(lines: Iterable[bytes], offset: int) -> Iterable[bytes]:
    assembler = Assembler(TAG, max_record_bytes=MAX_RECORD_BYTES)
    for raw in lines:
        kept = raw.lstrip(b"\0")
        line = decode(kept.removesuffix(b"\n"), now=NOW, container=True)
        offset += len(raw)
        start, size = offset - len(kept), len(kept)
        for event in assembler.add(line, key=KEY, offset=start, source_bytes=size) if kept else ():
            prefix = action_prefix(index_of("logstash", event.time[:10]), event.key)
            yield encode(event, prefix=prefix, suffix=SUFFIX)


def _fields_of(text: bytes) -> list[tuple[str, Any]]:
    fields: list[tuple[str, Any]] = json.loads(text, object_pairs_hook=list)
    return fields
