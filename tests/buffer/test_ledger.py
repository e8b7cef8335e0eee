"""The ledger: files and rows in the right order, names that never come twice, the ballast."""

import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipper.buffer import chunk as chunks
from shipper.buffer.chunk import OpenChunk
from shipper.buffer.disk import Disk
from shipper.buffer.ledger import Ledger
from shipper.buffer.state import Totals
from shipper.model import Chunk
from tests.buffer.powerloss.journal import Journal
from tests.buffer.powerloss.vfs import FULL, recorded
from tests.buffer.running import body_of, read_of

DELIVERED = Totals({("delivered", ""): 1})


class SmallDisk(Disk):
    """A disk with little space, all of which the buffer's own files take.

    Attributes:
        left: Bytes that are free.
        broken: Whether nothing can be removed.
    """

    def __init__(self, left: int = 1 << 40) -> None:
        self.left = left
        self.broken = False

    def write(self, descriptor: int, data: bytes) -> None:
        if len(data) > self.left:
            raise OSError(28, "No space left on device")
        super().write(descriptor, data)
        self.left -= len(data)

    def unlink(self, path: Path) -> None:
        if self.broken:
            raise OSError(30, "Read-only file system")
        size = path.stat().st_size if path.exists() else 0
        super().unlink(path)
        self.left += size


@contextmanager
def _open(state_dir: Path, disk: Disk | None = None) -> Iterator[Ledger]:
    ledger = Ledger(state_dir, disk or Disk())
    try:
        yield ledger
    finally:
        ledger.state.close()


def _seal(ledger: Ledger, ids: range) -> Chunk:
    full = OpenChunk(0.0)
    full.add(read_of(ids, end=ids.stop))
    sealed = ledger.write(full, full.finish())
    ledger.seal(full, sealed)
    assert sealed is not None
    return sealed


def test_sealed_chunk_has_file_and_row(tmp_path: Path) -> None:
    """I1: a sealed chunk is a file of the size that its row says."""
    with _open(tmp_path) as ledger:
        chunk = _seal(ledger, range(5))
        assert ledger.state.chunks() == [chunk]
        data = (ledger.directory / chunk.name).read_bytes()
        assert len(data) == chunk.file_bytes
        assert chunks.decompress(data) == body_of(range(5))
        assert (chunk.documents, chunk.source_bytes) == (5, 5)


def test_chunk_without_a_document_has_no_file(tmp_path: Path) -> None:
    """I3: where every line was dropped, positions move and no file is written."""
    with _open(tmp_path) as ledger:
        full = OpenChunk(0.0)
        full.add(read_of([], end=7, dropped=7))
        assert ledger.write(full, full.finish()) is None
        ledger.seal(full, None)
        assert [file.position.end for file in ledger.state.files()] == [7]
        assert list(ledger.directory.iterdir()) == []
        assert not (tmp_path / "ballast").exists()


def test_parts_take_the_place_of_a_chunk(tmp_path: Path) -> None:
    """I2: parts are files and rows of their own, and the chunk's file is gone."""
    with _open(tmp_path) as ledger:
        chunk = _seal(ledger, range(10))
        parts = [ledger.write_part(chunk, body_of(ids)) for ids in (range(3), range(3, 9))]
        assert ledger.state.chunks() == [chunk]
        ledger.replace(chunk, parts, totals=DELIVERED)
        assert ledger.state.chunks() == parts
        assert [(part.documents, part.source_bytes) for part in parts] == [(3, 3), (6, 6)]
        assert chunks.list_chunks(ledger.directory) == [part.name for part in parts]


def test_names_never_come_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is not given again while its file is there, also if the clock jumps back."""
    with _open(tmp_path) as ledger:
        names = [_seal(ledger, range(1)).name for _ in range(3)]
    monkeypatch.setattr(time, "time_ns", lambda: 1_000)
    with _open(tmp_path) as ledger:
        ledger.adopt()
        names += [_seal(ledger, range(1)).name for _ in range(3)]
        assert len(set(names)) == 6
        assert names == sorted(names)
        assert len(ledger.state.chunks()) == 6


def test_strange_names_are_no_obstacle(tmp_path: Path) -> None:
    """A file whose name only looks like a chunk's of this database does not stop the start."""
    with _open(tmp_path) as ledger:
        strange = ledger.directory / f"{ledger.state.database_id}-copy{chunks.SUFFIX}"
        strange.touch()
    with _open(tmp_path) as ledger:
        assert ledger.adopt().ready == []


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    """Directories have mode 0700, files 0600."""
    with _open(tmp_path) as ledger:
        _seal(ledger, range(5))
        modes = {
            path.name.removeprefix(ledger.state.database_id): stat.S_IMODE(path.stat().st_mode)
            for path in tmp_path.rglob("*")
        }
    assert modes.pop("chunks") == 0o700
    assert set(modes.values()) == {0o600}
    assert len(modes) == 5


def test_damaged_database_is_reported_and_chunks_adopted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a corrupt state.db the chunk files are adopted, each once."""
    with _open(tmp_path) as ledger:
        sealed = [_seal(ledger, range(n, n + 5)) for n in range(0, 20, 5)]
    (tmp_path / "state.db").write_bytes(b"x" * 8192)
    with _open(tmp_path) as ledger:
        found = ledger.adopt()
        assert sorted(c.name for c in found.adopted) == sorted(c.name for c in sealed)
        assert ledger.state.totals()["chunked", ""] == 20
        assert "state.db was corrupt and is set aside" in caplog.text
        assert ledger.adopt().adopted == []


# -- the disk refuses


def test_nothing_is_sealed_without_ballast(tmp_path: Path) -> None:
    """A chunk that would take the space kept for the shipping side is not written."""
    disk = SmallDisk(left=400_000)
    with _open(tmp_path, disk) as ledger:
        with pytest.raises(OSError, match="No space"):
            _seal(ledger, range(5))
        assert list(ledger.directory.iterdir()) == []
        disk.left = 1 << 20
        _seal(ledger, range(5))
        assert (tmp_path / "ballast").stat().st_size == 512 << 10


def test_ballast_gives_way_to_parts(tmp_path: Path) -> None:
    """On a full disk what is left of a chunk is written in the place of the ballast."""
    disk = SmallDisk()
    with _open(tmp_path, disk) as ledger:
        chunk = _seal(ledger, range(10))
        disk.left = 0
        part = ledger.write_part(chunk, body_of(range(3)))
        ledger.replace(chunk, [part], totals=DELIVERED)
        assert ledger.state.chunks() == [part]
        assert not (tmp_path / "ballast").exists()
        with pytest.raises(OSError, match="No space"):
            _seal(ledger, range(100_000))


def test_ballast_gives_way_to_a_commit(tmp_path: Path) -> None:
    """A chunk whose file is there is committed in the ballast's place: so it can be shipped."""
    ballast = tmp_path / "ballast"

    def fault(what: str, path: Path) -> int:
        return FULL if what == "write" and path.name == "state.db-wal" and ballast.exists() else 0

    with recorded(Journal(), fault), _open(tmp_path) as ledger:
        chunk = _seal(ledger, range(10))
        assert ledger.state.chunks() == [chunk]
        assert not ballast.exists()
        ledger.replace(chunk, [], totals=DELIVERED)
        assert ledger.state.chunks() == []


def test_log_of_the_database_stays_small(tmp_path: Path) -> None:
    """What is committed goes from SQLite's log into the database before the log is 1 MiB."""
    with _open(tmp_path) as ledger:
        for _ in range(100):
            ledger.replace(_seal(ledger, range(3)), [], totals=DELIVERED)
        assert (tmp_path / "state.db-wal").stat().st_size < 1 << 20


def test_full_disk_without_ballast_is_raised(tmp_path: Path) -> None:
    """Where nothing can give way, the fault is raised, and the chunk is as it was."""
    disk = SmallDisk()
    with _open(tmp_path, disk) as ledger:
        chunk = _seal(ledger, range(10))
        (tmp_path / "ballast").unlink()
        disk.left = 0
        with pytest.raises(OSError, match="No space"):
            ledger.write_part(chunk, body_of(range(3)))
        assert chunks.list_chunks(ledger.directory) == [chunk.name]
        assert ledger.state.chunks() == [chunk]


def test_ballast_gives_way_at_start(tmp_path: Path) -> None:
    """The ballast is given up before the database is opened, which takes space, too."""
    with _open(tmp_path) as ledger:
        _seal(ledger, range(5))
    assert (tmp_path / "ballast").exists()
    with _open(tmp_path):
        assert not (tmp_path / "ballast").exists()


def test_shipped_chunk_that_cannot_be_removed_is_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """I2: a shipped chunk whose file stays is not shipped again, and removed at the next start."""
    disk = SmallDisk()
    with _open(tmp_path, disk) as ledger:
        chunk = _seal(ledger, range(5))
        disk.broken = True
        ledger.replace(chunk, [], totals=DELIVERED)
        assert ledger.state.totals()["delivered", ""] == 1
        assert "removed at the next start" in caplog.text
    with _open(tmp_path) as ledger:
        found = ledger.adopt()
        assert (found.ready, found.adopted, found.lost) == ([], [], [])
        assert list(ledger.directory.iterdir()) == []


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename", "sync_directory", "close"])
def test_failed_write_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """I1: whichever call fails on a file, neither it nor a row is there, and it is repeated."""
    disk = Disk()
    with _open(tmp_path, disk) as ledger:
        _seal(ledger, range(5))
        with monkeypatch.context() as broken:
            broken.setattr(disk, call, _refuse(getattr(disk, call), closes=call == "close"))
            with pytest.raises(OSError, match="Input/output"):
                _seal(ledger, range(5, 9))
        assert len(ledger.state.chunks()) == len(list(ledger.directory.iterdir())) == 1
        _seal(ledger, range(5, 9))
        assert len(ledger.state.chunks()) == len(list(ledger.directory.iterdir())) == 2


def _refuse(real: Callable[..., object], *, closes: bool) -> Callable[..., object]:
    def refuse(*args: object) -> object:
        if closes:
            real(*args)
        raise OSError(5, "Input/output error")

    return refuse
