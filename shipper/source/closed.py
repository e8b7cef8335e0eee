"""The files of one series that are closed because nothing is to be read of them until they change.

Owns: how they looked then, and the keys that they keep, so that no file that begins alike gets one.
Does not know: how many files may be open, and why one was closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shipper.source.directory import Found, Signature


@dataclass(frozen=True, slots=True)
class _File:
    key: str
    only_as: str


class Closed:
    """Files by their signatures."""

    def __init__(self) -> None:
        """Begin with none."""
        self._files: dict[Signature, _File] = {}

    def __bool__(self) -> bool:
        """Tell whether there is one."""
        return bool(self._files)

    def add(self, signature: Signature, key: str, *, only_as: str = "") -> None:
        """Remember a file.

        Args:
            signature: How it looks now.
            key: Its file key; empty for none.
            only_as: Its path, if it has to be opened when it gets another one: it ends in a half
                line, which a live file's writer may go on with, and a rotated file's does not.
        """
        self._files[signature] = _File(key, only_as)

    def has(self, file: Found) -> bool:
        """Tell whether a file is one of these, and as it was."""
        known = self._files.get(file.signature)
        return known is not None and known.only_as in {"", file.path}

    def key_of(self, signature: Signature) -> str:
        """Return the key of a file that looks so; empty for none."""
        known = self._files.get(signature)
        return known.key if known is not None else ""

    @property
    def keys(self) -> list[str]:
        """The keys of all; empty ones are those of files without one."""
        return [file.key for file in self._files.values()]

    def forget_changed(self, files: Sequence[Found]) -> list[tuple[str, bool]]:
        """Forget what is not among these files as it was.

        Returns:
            The key of each, and whether it was deleted. Where nothing is left nothing counts as
            that: the whole directory may be out of sight.
        """
        same = {file.signature for file in files if self.has(file)}
        places = {file.signature[:2] for file in files}
        changed = [signature for signature in self._files if signature not in same]
        return [
            (self._files.pop(signature).key, bool(places) and signature[:2] not in places)
            for signature in changed
        ]

    def clear(self) -> None:
        """Forget all."""
        self._files.clear()
