"""The container runtime, kubelet, logrotate and whoever else moves log files.

What takes several steps is a job: each action does some of its steps, so that the agent may look
at any moment between them. A new job, and whatever cannot happen during one, ends it first.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Literal

from tests.source.model.book import Book, Piece
from tests.source.model.folder import Folder
from tests.source.model.writer import Writer

_COPY_SECS = 0.005
_LOOK_SECS = 0.05
"""In which the agent has looked at what was done."""
_SLOW_SECS = 0.025
"""A copy that stands beside its original for longer may be taken for a file of its own."""

Naming = Literal["numbered", "dated", "inside"]


class Runtime:
    """Who rotates, compresses, truncates, replaces and deletes."""

    def __init__(
        self,
        folder: Folder,
        writer: Writer,
        book: Book,
        *,
        naming: Naming,
        shown: Path,
        has_read: Callable[[Path], bool],
    ) -> None:
        """Prepare.

        Args:
            folder: Whose files.
            writer: Who writes them.
            book: What is written is noted there.
            naming: How rotated files are named.
            shown: The path that the agent follows: the live file, or a symlink to it.
            has_read: Whether the agent has read anything of a file.
        """
        self._folder = folder
        self._writer = writer
        self._book = book
        self._naming = naming
        self._shown = shown
        self._has_read = has_read
        self._moments = count(100_000)
        self._job: Iterator[None] | None = None
        self._truncates = False

    # -- rotation

    def rename(self, _: int) -> None:
        """Rotate by renaming; the writer goes on in the renamed file until it reopens."""
        self.end_job()
        if self._folder.live is not None:
            self._folder.rename(self._folder.stem, self._free_name())

    def reopen(self, argument: int) -> None:
        """Let the writer open the file of the path, and make it, if it was renamed."""
        self.come_back(0)
        self._writer.reopen(argument)

    def rotate(self, argument: int) -> None:
        """Rotate as Docker does: rename and reopen at once, and often compress at once."""
        self.rename(argument)
        self.reopen(argument)
        if argument % 3 == 0:
            self.compress(argument // 3)

    def rotate_often(self, argument: int) -> None:
        """Rotate several times, with a line in each file, before anyone can look."""
        for number in range(2 + argument % 2):
            self._writer.write(argument + number)
            self.rename(argument)
            self.reopen(argument)

    def rotate_into_inode(self, argument: int) -> None:
        """Rotate as kubelet does: compress the one before; the new file gets its inode."""
        self.end_job()
        plain, inode = self._plain(), 0
        if plain:
            inode = self._folder.names[plain[-1]].place[1]
            self._job = self._by_kubelet(plain[-1])
            self.end_job()
        self.rename(argument)
        if self._folder.live is None:
            self._writer.reopen_with_inode(inode)

    def compress(self, argument: int) -> None:
        """Compress a rotated file, or go on with that; how far, and how, depends."""
        if self._job is None or self._truncates:
            self.end_job()
            plain = self._plain()
            if not plain:
                return
            name = plain[argument // 8 % len(plain)]
            self._job = self._by_kubelet(name) if argument % 2 else self._by_gzip(name)
        self._advance(1 + argument // 2 % 4)

    async def copy(self, argument: int) -> None:
        """Begin a copytruncate: copy the live file; the agent may see half of the copy."""
        self.end_job()
        live = self._folder.live
        if live is not None and live not in self._folder.elsewhere.values():
            self._truncates = True
            self._job = self._copytruncate(self._free_name())
            self._advance(1)
            await asyncio.sleep(argument % 3 * _COPY_SECS)
            self._advance(1)
            await asyncio.sleep(argument // 3 % 3 * _COPY_SECS)

    def truncate(self, _: int) -> None:
        """Truncate the live file, after the copy if one has begun."""
        truncates = self._truncates
        self.end_job()
        if not truncates:
            self._truncate()

    def end_copy(self) -> None:
        """Truncate what was copied: nobody waits for long with that."""
        if self._truncates:
            self.end_job()

    def rewrite(self, argument: int) -> None:
        """Truncate the live file and write other lines into it at once."""
        self.truncate(argument)
        if self._folder.live is not None and self._writer.appends:
            with self._folder.path(self._folder.stem).open("ab", buffering=0) as file:
                for number in range(1 + argument % 4):
                    piece = self._book.plain(argument + number)
                    file.write(piece.raw)
                    self._folder.wrote(self._folder.live, piece)

    # -- deletion

    def delete(self, _: int) -> None:
        """Delete the live file; the writer goes on in it until it reopens."""
        self.end_job()
        if self._folder.live is not None:
            self._folder.unlink(self._folder.stem)

    def recreate(self, argument: int) -> None:
        """Delete the live file, and make it again at once."""
        self.delete(argument)
        self.reopen(argument)

    def replace(self, argument: int) -> None:
        """Rename another file over the path."""
        self.end_job()
        new = f"{self._folder.stem}.new.tmp"
        sheet = self._folder.create(new)
        with self._folder.path(new).open("ab", buffering=0) as file:
            for number in range(argument % 3):
                piece = self._book.plain(argument + number)
                file.write(piece.raw)
                self._folder.wrote(sheet, piece)
        self._folder.replace(new, self._folder.stem)

    def retain(self, _: int) -> None:
        """Delete the oldest generation."""
        self.end_job()
        for name in self._folder.rotated()[:1]:
            self._folder.unlink(name)

    # -- names

    def link(self, argument: int) -> None:
        """Give the live file a second name beside it, or take that away."""
        path = self._shown.with_name(("aaa.log", "zzz.log")[argument % 2])
        self.come_back(0)
        self.end_copy()
        if path in self._folder.elsewhere:
            self._folder.unlink_link(path)
        elif self._folder.live is not None:
            self._folder.link(path)

    def retarget(self, argument: int) -> None:
        """Let the symlink show the file of a new container; the one before is dead."""
        self.end_job()
        if not self._shown.is_symlink():
            return
        self._writer.end_half()
        self._book.end_series()
        stem = f"{self._book.series}.log"
        self._folder.create(stem)
        temporary = self._shown.with_name("link.tmp")
        temporary.symlink_to(self._folder.path(stem))
        temporary.rename(self._shown)
        self._folder.leave(stem)
        self._writer.reopen(argument)

    async def vanish(self, _: int) -> None:
        """Take the directory away, as when it is unmounted: not in the moment of a rotation."""
        self.end_job()
        await asyncio.sleep(_LOOK_SECS)
        self._folder.vanish()
        self._writer.was_settled()

    def come_back(self, _: int) -> None:
        """Bring the directory back."""
        self._folder.come_back()

    def end_job(self) -> None:
        """Do the rest of what has begun."""
        self.come_back(0)
        self._advance(100)

    # -- steps

    def _advance(self, steps: int) -> None:
        for _ in range(steps):
            if self._job is None:
                return
            try:
                next(self._job)
            except StopIteration:
                self._job, self._truncates = None, False

    def _by_gzip(self, name: str) -> Iterator[None]:
        """As gzip and Docker do it: in place, then the original goes."""
        source = self._folder.names[name]
        pieces, data = self._compressed(name)
        with self._folder.path(f"{name}.gz").open("wb", buffering=0) as file:
            file.write(data[: len(data) // 2])
            yield
            file.write(data[len(data) // 2 :])
        self._folder.add(f"{name}.gz", source=source, pieces=pieces)
        yield
        self._folder.unlink(name)

    def _by_kubelet(self, name: str) -> Iterator[None]:
        """Into a temporary file, which is renamed; then the original goes."""
        source = self._folder.names[name]
        pieces, data = self._compressed(name)
        temporary = self._folder.path(f"{name}.tmp")
        with temporary.open("wb", buffering=0) as file:
            file.write(data[: len(data) // 2])
            yield
            file.write(data[len(data) // 2 :])
        yield
        temporary.rename(self._folder.path(f"{name}.gz"))
        self._folder.add(f"{name}.gz", source=source, pieces=pieces)
        yield
        self._folder.unlink(name)

    def _plain(self) -> list[str]:
        """Return the rotated files that can be compressed: gzip refuses one with two names."""
        linked = self._folder.elsewhere.values()
        return [
            name
            for name in self._folder.rotated()
            if not name.endswith(".gz") and self._folder.names[name] not in linked
        ]

    def _compressed(self, name: str) -> tuple[list[Piece], bytes]:
        sheet = self._folder.names[name]
        self._writer.was_copied(sheet)
        return list(sheet.pieces), gzip.compress(self._folder.path(name).read_bytes(), mtime=0)

    def _copytruncate(self, name: str) -> Iterator[None]:
        live, began = self._folder.live, time.monotonic()
        assert live is not None
        pieces = list(live.pieces)
        if pieces and not self._has_read(self._folder.path(self._folder.stem)):
            pieces[-1].loose = True
        data = self._folder.path(self._folder.stem).read_bytes()
        self._writer.was_copied(live)
        with self._folder.path(name).open("wb", buffering=0) as file:
            file.write(data[: len(data) // 2])
            yield
            for piece in pieces if time.monotonic() - began > _SLOW_SECS else ():
                piece.torn = True  # on a busy machine: half a copy may be taken for all of it
            file.write(data[len(data) // 2 :])
        self._folder.add(name, source=live, pieces=pieces)
        yield
        for piece in pieces if time.monotonic() - began > _SLOW_SECS else ():
            piece.twice = True
        self._truncate()

    def _truncate(self) -> None:
        if self._folder.live is not None:
            self._writer.was_truncated(self._folder.live)
            self._folder.truncate()

    def _free_name(self) -> str:
        """Return the name for the next rotated file, the numbered ones having moved on."""
        stem = self._folder.stem
        if self._naming == "dated":
            return f"{stem}.20261123-{next(self._moments)}"
        if self._naming == "inside":
            return f"{stem.removesuffix('.log')}-2026-11-23T10-11-12.{next(self._moments)}.log"
        for name in self._folder.rotated():
            number, dot, gz = name.removeprefix(f"{stem}.").partition(".")
            self._folder.rename(name, f"{stem}.{int(number) + 1}{dot}{gz}")
        return f"{stem}.1"
