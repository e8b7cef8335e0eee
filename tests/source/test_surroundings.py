"""Surroundings: what all followers share, and whether this is the agent's first start."""

import asyncio
import time
from math import inf
from pathlib import Path

import pytest

from shipper.buffer.chunk import Read
from shipper.buffer.spool import Spool
from shipper.config import Config, validate
from shipper.metrics import Metrics
from shipper.model import Documents, Position, SavedFile
from shipper.source.identity import Claim, Looks
from shipper.source.surroundings import FIRST_START, OVER, Surroundings, surroundings_of


def surroundings(config: Config, spool: Spool) -> Surroundings:
    return surroundings_of(config, spool, node="n", metrics=Metrics(), once=False)


def config_of(root: Path, **sections: dict[str, object]) -> Config:
    return validate({"state_dir": str(root), "sources": [{"paths": ["/logs"]}], **sections})


@pytest.mark.parametrize(
    ("read_from", "first"), [("beginning", False), ("end", True), ("2026-11-23T10:00:00Z", True)]
)
def test_first_start_matters_until_it_is_over(
    tmp_path: Path, read_from: str, *, first: bool
) -> None:
    """Where `read_from` says something, a start that was killed goes on with its own moment."""

    async def start() -> None:
        config = config_of(tmp_path, follow={"read_from": read_from})
        spool = Spool(tmp_path, config.buffer, metrics=Metrics())
        assert await surroundings(config, spool).begin_first_start() == (inf if first else 0)
        moment = await surroundings(config, spool).begin_first_start()
        assert time.time() - 60 < moment <= time.time() if first else moment == 0
        await spool.remember(FIRST_START, OVER)
        assert await surroundings(config, spool).begin_first_start() == 0
        spool.close()

    asyncio.run(start())


@pytest.mark.parametrize(
    ("block_bytes", "max_line_bytes", "expected"),
    [(262_144, 1_048_576, 262_144), (1_048_576, 65_536, 65_536)],
)
def test_block_holds_no_line_that_is_too_long(
    tmp_path: Path, block_bytes: int, max_line_bytes: int, expected: int
) -> None:
    """A block is never longer than a line may be, whatever is configured."""

    async def start() -> None:
        config = config_of(
            tmp_path,
            follow={"block_bytes": block_bytes},
            pipeline={"max_line_bytes": max_line_bytes},
        )
        spool = Spool(tmp_path, config.buffer, metrics=Metrics())
        limits = surroundings(config, spool).limits
        assert (limits.block_bytes, limits.max_line_bytes) == (expected, max_line_bytes)
        spool.close()

    asyncio.run(start())


def test_new_files_come_after_those_that_are_saved(tmp_path: Path) -> None:
    """Their order is counted on from what is saved, whatever clocks have done since."""
    far = (1 << 62) + 1
    looks = Looks((1, 2), live=True, compressed=False, fits=lambda _: False)

    async def start() -> None:
        config = config_of(tmp_path)
        spool = Spool(tmp_path, config.buffer, metrics=Metrics())
        files = [
            SavedFile(f"k{n}", "b", "/a.log", 1, n, Position(1), sequence=n) for n in (-1, far)
        ]
        spool.append(Read(Documents(), tuple(files), 2))
        identity = surroundings(config, spool).identity
        claim = identity.claim("/a.log", b"one\n", looks=looks)
        assert isinstance(claim, Claim)
        assert claim.sequence == far + 1
        spool.close()

    asyncio.run(start())
