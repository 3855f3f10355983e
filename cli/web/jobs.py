"""Work on pictures in threads, which tells how far it is and ends soon after nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from threading import Event
from typing import Any

from starlette.exceptions import HTTPException

from aecodec.progress import progress_listener


class Abandoned(BaseException):
    """Nobody waits for the work. It is no Exception, which a codec's failures are taken for."""


class Job:
    """What work may send while it is done, from any thread. Raises Abandoned once nobody listens."""

    def __init__(self, loop: asyncio.AbstractEventLoop, events: asyncio.Queue[dict[str, Any]]) -> None:
        self.loop, self.events, self.abandoned = loop, events, Event()
        self.step, self.steps, self.share, self.label = 0, 1, 0.0, ""

    def start_step(self, step: int, steps: int, label: str) -> None:
        """A step of several begins, the first is 0."""
        self.step, self.steps, self.share, self.label = step, steps, 0.0, label
        self.send()

    def tiles_done(self, task: str, done: int, of: int) -> None:
        """A pass over tiles has come so far; each takes half of what is left, as passes are not known."""
        rest = 1 - self.share
        sent_share = self.share + rest / 2 * done / of
        if done == of:
            self.share = sent_share
        self.send(sent_share)

    def send(self, share: float = 0.0) -> None:
        """Tell the share of the step that is done."""
        if self.abandoned.is_set():
            raise Abandoned
        event = {"label": self.label, "share": (self.step + share) / self.steps}
        self.loop.call_soon_threadsafe(self.events.put_nowait, event)


async def run(work: Callable[[Job], Any], free: Callable[[], object]) -> AsyncIterator[dict[str, Any]]:
    """Events of work in a thread: shares that are done, at last {"result": ...}; raises what it raises.

    Whoever stops listening has the work abandoned at its next event. `free` is called when the thread ends,
    which may be later than that.
    """
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    job = Job(asyncio.get_running_loop(), events)

    def work_and_tell() -> Any:
        with progress_listener(job.tiles_done):
            return work(job)

    future = asyncio.ensure_future(asyncio.to_thread(work_and_tell))
    future.add_done_callback(lambda done: (free(), done.cancelled() or done.exception()))
    try:
        while not future.done() or not events.empty():
            waiting = asyncio.ensure_future(events.get())
            try:
                await asyncio.wait({waiting, future}, return_when=asyncio.FIRST_COMPLETED)
                if waiting.done():
                    yield waiting.result()
            finally:
                waiting.cancel()
        yield {"result": future.result()}
    finally:
        job.abandoned.set()


async def result_of(events: AsyncIterator[dict[str, Any]], leaving: Coroutine[Any, Any, None]) -> Any:
    """The result of work. Where `leaving` ends first, the work is abandoned and HTTPException raised."""

    async def last() -> Any:
        return [event async for event in events][-1]["result"]

    working, left = asyncio.ensure_future(last()), asyncio.ensure_future(leaving)
    try:
        await asyncio.wait({working, left}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(400, "nobody waits for the answer: ask again")
        return working.result()
    finally:
        working.cancel()
        left.cancel()
