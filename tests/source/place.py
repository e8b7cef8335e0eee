"""The open files of one series, without a follower."""

from pathlib import Path

from shipper.buffer.spool import Spool
from shipper.metrics import Metrics
from shipper.source.block import Limits
from shipper.source.discover import Series
from shipper.source.identity import Identity
from shipper.source.losses import Losses
from shipper.source.recognise import identify
from shipper.source.tail import Tail
from tests.source.running import config_of

TEXT = b"".join(b"line %d\n" % number for number in range(100))


class Place:
    """A directory with the files of a series, and its losses."""

    def __init__(self, root: Path) -> None:
        self.live = root / "a.log"
        self.series = Series(str(self.live), "/shown/a.log", "")
        self.identity = Identity("n", lambda _: [])
        self.spool = Spool(root, config_of(root, "/x").buffer, metrics=Metrics())
        self.losses = Losses(self.spool, self.identity)
        self.tails: list[Tail] = []

    def open(self, name: str, data: bytes, *, known: bool = True) -> Tail:
        """Write a file of the series, open it, and find out which it is."""
        path = self.live.with_name(name)
        path.write_bytes(data)
        tail = Tail(str(path), self.series.stem, limits=Limits(100, 100))
        self.tails.append(tail)
        tail.live = path == self.live
        tail.update()
        assert identify(tail, self.identity, final=True) if known else True
        return tail

    def close(self) -> None:
        for tail in self.tails:
            tail.close()
        self.spool.close()
