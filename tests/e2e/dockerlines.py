"""Holds documents against docker's own files: which lines came, which did not, how many bytes.

Theory of operation: docker splits a line of more than 16 KiB into parts, each a line of JSON in the
file, and gives all of them the time of the first. A part is the unit here: it is covered when a
document holds its text, and what is not covered is missing, with all its bytes in the file. A
document is either a whole line, or, where parts of the line are missing, a run of its parts.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shipper.pipeline.assemble import UNFINISHED

SHOWN = 5


@dataclass(slots=True)
class Part:
    """A line of JSON in a generation of a file."""

    generation: int
    file_bytes: int
    chars: int
    digest: bytes
    covered: int = 0


@dataclass(slots=True)
class Line:
    """What the container printed, up to a newline."""

    parts: list[Part] = field(default_factory=list)
    runs: list[tuple[int, int]] = field(default_factory=list)

    def cover(self, text: str) -> tuple[int, int] | None:
        """Mark the parts that make this text; None if none do."""
        for first in range(len(self.parts)):
            end, at = first, 0
            while end < len(self.parts) and self.parts[end].digest == _digest(
                text[at : at + self.parts[end].chars]
            ):
                at += self.parts[end].chars
                end += 1
            if at == len(text) and end > first:
                for part in self.parts[first:end]:
                    part.covered += 1
                self.runs.append((first, end))
                return first, end
        return None

    @property
    def cuts(self) -> list[bool]:
        """For each place where one document ends and another begins: whether a generation ends."""
        places = {end for _, end in self.runs} & {first for first, _ in self.runs}
        return [self.parts[at - 1].generation != self.parts[at].generation for at in places]


@dataclass(slots=True)
class Printed:
    """What a container printed, from all generations of its log.

    Attributes:
        text: All that each stream printed.
        generation_bytes: How long each generation is.
        faults: What documents hold that was not printed so.
    """

    lines: dict[tuple[str, str], list[Line]]
    text: dict[str, str]
    generation_bytes: list[int]
    faults: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, generations: Iterable[bytes]) -> "Printed":
        """Take all generations, oldest first."""
        lines: dict[tuple[str, str], list[Line]] = defaultdict(list)
        waiting: dict[str, Line] = {}
        text: dict[str, list[str]] = defaultdict(list)
        sizes = []
        for number, data in enumerate(generations):
            sizes.append(len(data))
            for raw in data.splitlines(keepends=True):
                entry = json.loads(raw)
                stream, log = entry["stream"], entry["log"]
                if stream not in waiting:
                    waiting[stream] = Line()
                    lines[stream, entry["time"]].append(waiting[stream])
                waiting[stream].parts.append(Part(number, len(raw), len(log), _digest(log)))
                text[stream].append(log)
                if log.endswith("\n"):
                    del waiting[stream]
        return cls(dict(lines), {s: "".join(logs) for s, logs in text.items()}, sizes)

    @property
    def count(self) -> int:
        """How many lines there are."""
        return sum(map(len, self.lines.values()))

    def take(self, document: dict[str, Any]) -> None:
        """Find the line of a document."""
        stream, time, log = document["stream"], document["@timestamp"], document["log"]
        found = None
        for line in self.lines.get((stream, time), []):
            if found := line.cover(log):
                whole = found[1] == len(line.parts)
                flags = document.get("shipper", {}).get("flags", [])
                if flags != ([] if whole else [UNFINISHED]):
                    self.faults.append(f"flagged {flags}: parts {found} of {time} {log[:60]!r}")
                break
        if not found:
            pieces = self._origins(log)
            flags = document.get("shipper", "no flags")
            shown = f"{stream} {time} {log[:20]!r}…{log[-20:]!r}, {flags}"
            self.faults.append(f"not as printed: {shown}, made of {pieces}")

    def _origins(self, text: str) -> list[str]:
        """Say of which parts a text was glued together."""
        known = {part.digest: part for part in self._parts()}
        origins = []
        while text:
            size = next(
                (p.chars for p in known.values() if _digest(text[: p.chars]) == p.digest), len(text)
            )
            part = known.get(_digest(text[:size]))
            where = f"generation {part.generation}" if part else "nowhere"
            origins.append(f"{size} chars of {where}")
            text = text[size:]
        return origins

    @property
    def doubled(self) -> list[Part]:
        """Parts that more than one document holds."""
        return [part for part in self._parts() if part.covered > 1]

    def cut(self, *, gaps: bool) -> list[Line]:
        """Lines that are two documents, though nothing between these is missing.

        Where the agent cannot know that nothing is: at the end of a generation, if it saw a gap.
        """
        every = (line for lines in self.lines.values() for line in lines)
        return [line for line in every if line.cuts and not (gaps and all(line.cuts))]

    @property
    def covered_bytes(self) -> int:
        """Bytes of the files that documents hold."""
        return sum(part.file_bytes for part in self._parts() if part.covered)

    @property
    def file_bytes(self) -> int:
        """Bytes of all generations."""
        return sum(self.generation_bytes)

    @property
    def missing_bytes(self) -> dict[int, int]:
        """Bytes that no document holds, by generation."""
        missing: dict[int, int] = defaultdict(int)
        for part in self._parts():
            if not part.covered:
                missing[part.generation] += part.file_bytes
        return dict(missing)

    def _parts(self) -> Iterable[Part]:
        return (part for lines in self.lines.values() for line in lines for part in line.parts)


def all_faults(printed: Sequence[Printed], *, gaps: bool) -> list[str]:
    """Say what is altered, doubled, cut or glued in the documents; best nothing."""
    faults = [fault for one in printed for fault in one.faults[:SHOWN]]
    for number, one in enumerate(printed):
        if one.doubled:
            faults.append(f"{number}: {len(one.doubled)} doubled, as {one.doubled[0]}")
        if cut := one.cut(gaps=gaps):
            faults.append(f"{number}: {len(cut)} cut without need, as {cut[0]}")
    return faults


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=12).digest()
