"""What SQLite itself writes and syncs, recorded: a shim below the standard library's `sqlite3`.

SQLite reaches files through a table of functions, its VFS. The shim is a copy of the default one
with another `xOpen` and `xDelete`; each file that is opened gets a copy of its own table with
`xWrite`, `xTruncate` and `xSync` replaced. Everything else is the original, so the code under test
opens its database through it unmodified.

Source: https://www.sqlite.org/c3ref/vfs.html and https://www.sqlite.org/c3ref/io_methods.html
"""

from __future__ import annotations

import _sqlite3
import contextlib
import ctypes
from collections.abc import Callable, Iterator
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING

from tests.buffer.powerloss.journal import Journal, Sync, SyncDirectory, Truncate, Write

if TYPE_CHECKING:
    from ctypes import _Pointer

Fault = Callable[[str, Path], int]
"""Given `write` or `sync` and a file, the SQLite error to fail with, or 0."""

FULL, SYNC_FAILED = 13, 1034
"""SQLITE_FULL and SQLITE_IOERR_FSYNC."""
_OK = 0
_NEW_LOG = 0x4 | 0x80000
"""SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL: SQLite syncs the directory at the file's first sync."""
_NEW_JOURNAL = 0x4 | 0x800
"""SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_JOURNAL: the same."""

_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(ctypes.Structure):
    _fields_ = [  # type: ignore[mutable-override]  # as ctypes has it
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", _Open),
        ("xDelete", _Delete),
        ("others", c_void_p * 14),
    ]


class _Methods(ctypes.Structure):
    _fields_ = [  # type: ignore[mutable-override]  # as ctypes has it
        ("iVersion", c_int),
        ("xClose", c_void_p),
        ("xRead", c_void_p),
        ("xWrite", _Write),
        ("xTruncate", _Truncate),
        ("xSync", _Sync),
        ("others", c_void_p * 13),
    ]


class _File(ctypes.Structure):
    _fields_ = [("methods", POINTER(_Methods))]  # type: ignore[mutable-override]  # the same


def no_fault(_what: str, _path: Path) -> int:
    """Let everything succeed."""
    return _OK


@contextlib.contextmanager
def recorded(journal: Journal, fault: Fault) -> Iterator[None]:
    """Record every database that is opened meanwhile."""
    library = _library()
    shim = _Shim(library, journal, fault)
    assert library.sqlite3_vfs_register(ctypes.byref(shim.vfs), 1) == _OK
    try:
        yield
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(shim.vfs))


class _Shim:
    def __init__(self, library: ctypes.CDLL, journal: Journal, fault: Fault) -> None:
        self._original = library.sqlite3_vfs_find(None)
        self._journal, self._fault = journal, fault
        self._paths: dict[int, Path] = {}
        self._directory_due: set[Path] = set()
        self._tables: dict[int, tuple[_Methods, _Methods]] = {}
        self.vfs = _Vfs.from_buffer_copy(self._original.contents)
        self.vfs.zName = b"recorded"
        self.vfs.xOpen = _Open(self._open)
        self.vfs.xDelete = _Delete(self._delete)

    def _open(self, _vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        result: int = self._original.contents.xOpen(
            ctypes.cast(self._original, c_void_p), name, file, flags, out
        )
        if result != _OK or name is None:
            return result
        path = Path(ctypes.string_at(name).decode())
        self._journal.file(path)
        self._paths[file] = path
        if flags & _NEW_LOG == _NEW_LOG or flags & _NEW_JOURNAL == _NEW_JOURNAL:
            self._directory_due.add(path)
        opened = _File.from_address(file)
        opened.methods = ctypes.pointer(self._table(opened.methods))
        return _OK

    def _table(self, original: _Pointer[_Methods]) -> _Methods:
        address = ctypes.addressof(original.contents)
        if address not in self._tables:
            copy = _Methods.from_buffer_copy(original.contents)
            kept = original.contents
            copy.xWrite = _Write(lambda *a: self._write(kept, *a))
            copy.xTruncate = _Truncate(lambda *a: self._truncate(kept, *a))
            copy.xSync = _Sync(lambda file, _flags: self._sync(file))
            self._tables[address] = (copy, kept)
        return self._tables[address][0]

    def _write(self, methods: _Methods, file: int, data: int, size: int, offset: int) -> int:
        path = self._paths[file]
        if error := self._fault("write", path):
            return error
        written = ctypes.string_at(data, size)
        self._journal.add(Write(self._journal.file(path), offset, written))
        result: int = methods.xWrite(file, data, size, offset)
        return result

    def _truncate(self, methods: _Methods, file: int, size: int) -> int:
        self._journal.add(Truncate(self._journal.file(self._paths[file]), size))
        result: int = methods.xTruncate(file, size)
        return result

    def _sync(self, file: int) -> int:
        path = self._paths[file]
        if error := self._fault("sync", path):
            return error
        self._journal.add(Sync(self._journal.file(path)))
        if path in self._directory_due:
            self._directory_due.remove(path)
            self._journal.add(SyncDirectory(path.parent))
        return _OK

    def _delete(self, _vfs: int, name: bytes, sync_directory: int) -> int:
        result: int = self._original.contents.xDelete(
            ctypes.cast(self._original, c_void_p), name, sync_directory
        )
        path = Path(name.decode())
        self._journal.unlink(path)
        if sync_directory:
            self._journal.add(SyncDirectory(path.parent))
        return result


def _library() -> ctypes.CDLL:
    """Return the library that the `sqlite3` module uses: symbols are looked up in what it links."""
    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    library.sqlite3_vfs_find.restype = POINTER(_Vfs)
    library.sqlite3_vfs_find.argtypes = [c_char_p]
    library.sqlite3_vfs_register.argtypes = [POINTER(_Vfs), c_int]
    library.sqlite3_vfs_unregister.argtypes = [POINTER(_Vfs)]
    return library
