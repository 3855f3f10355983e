"""Bodies of requests, read into memory within limits, by few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

PATIENCE = 30.0  # seconds without a byte of a body, after which it is given up
MOST_WAITING = 64  # requests that wait for a slot; more are refused at once


async def body_of(request: Request, limit: int) -> bytes:
    """The body of a request; raises HTTPException with a sentence if it has none or is over `limit` bytes."""
    check_announced(request, limit)
    parts, size = [], 0
    stream = request.stream()
    try:
        while part := await asyncio.wait_for(anext(stream, b""), PATIENCE):
            size += len(part)
            if size > limit:
                raise too_large(limit)
            parts.append(part)
    except TimeoutError as error:
        raise HTTPException(408, f"nothing came for {PATIENCE:g} seconds: send the file again") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the file ended too early: send it again") from error
    if not size:
        raise HTTPException(400, "nothing was sent: send the bytes of a file")
    return b"".join(parts)


async def gone(request: Request) -> None:
    """Ends once nobody waits for the answer to a request, whose body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def check_announced(request: Request, limit: int) -> None:
    """Raises HTTPException where the body is said to be over `limit` bytes."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal():
        raise HTTPException(400, f"Content-Length {length!r} is no number: send the bytes of a file")
    if int(length) > limit:
        raise too_large(limit)


def too_large(limit: int) -> HTTPException:
    """The refusal of a body over the limit."""
    return HTTPException(413, f"the file has more than {limit} bytes: send a smaller one")


class Slots:
    """So many requests at a time hold a body in memory; the others wait, their bodies unread."""

    def __init__(self, count: int) -> None:
        self.free, self.waiting = asyncio.Semaphore(count), 0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """A context within which a slot is taken; raises HTTPException where too many wait."""
        if self.waiting >= MOST_WAITING:
            raise HTTPException(503, f"{MOST_WAITING} requests wait already: try again later")
        self.waiting += 1
        try:
            await self.free.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self.free.release()
