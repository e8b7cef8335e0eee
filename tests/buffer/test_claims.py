"""Claims: who ships what next."""

import asyncio

from shipper.buffer.claims import Claims
from shipper.model import Chunk, Lane


def chunk(name: str, lane: Lane) -> Chunk:
    return Chunk(name, 1, 1, 1, 1, 0.0, lane)


def test_first_lane_first_and_oldest_first_within() -> None:
    """A lane that is named first has precedence; within a lane it is the order of sealing."""

    async def taken() -> list[str]:
        claims = Claims()
        claims.put([chunk("b1", Lane.BULK), chunk("e1", Lane.EXPRESS), chunk("b2", Lane.BULK)])
        claims.put_back([chunk("b0", Lane.BULK), chunk("e0", Lane.EXPRESS)])
        orders = [(Lane.EXPRESS, Lane.BULK), (Lane.BULK, Lane.EXPRESS), (Lane.EXPRESS,)]
        orders += [(Lane.EXPRESS, Lane.BULK)] * 2
        return [(await claims.take(order)).name for order in orders]

    assert asyncio.run(taken()) == ["e0", "b0", "e1", "b1", "b2"]


def test_one_lane_waits_for_that_lane() -> None:
    """Whoever ships express chunks alone leaves the others to others, and keeps nobody waiting."""

    async def taken() -> list[str]:
        claims, order = Claims(), list[str]()

        async def ship(*lanes: Lane) -> None:
            order.append((await claims.take(lanes)).name)

        async with asyncio.TaskGroup() as group, asyncio.timeout(10):
            express = group.create_task(ship(Lane.EXPRESS))
            bulk = group.create_task(ship(Lane.BULK, Lane.EXPRESS))
            await asyncio.sleep(0)
            claims.put([chunk("b", Lane.BULK)])
            await bulk
            claims.put([chunk("e", Lane.EXPRESS)])
            await express
        return order

    assert asyncio.run(taken()) == ["b", "e"]
