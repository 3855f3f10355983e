"""Progress: tells a listener how far a network has come with the tiles of a picture.

>>> from aecodec.model.tiling import tiles
>>> with progress_listener(print):
...     places = [tile.place for tile in track("analysing", tiles(1, 3, core=2, halo=0))]
analysing 1 2
analysing 2 2
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias, TypeVar

Part = TypeVar("Part")
Listener: TypeAlias = Callable[[str, int, int], object]  # of the task, tiles done, and of how many

current_listener: ContextVar[Listener | None] = ContextVar("current_listener", default=None)


@contextmanager
def progress_listener(listener: Listener) -> Iterator[None]:
    """Within, `listener` is called for each tile that a network is done with; there may be many passes."""
    token = current_listener.set(listener)
    try:
        yield
    finally:
        current_listener.reset(token)


class Progress:
    """One pass over tiles, each of which is reported to the listener."""

    def __init__(self, task: str, parts: int) -> None:
        self.task, self.done, self.parts, self.listener = task, 0, parts, current_listener.get()

    def step(self) -> None:
        """One more tile is done."""
        self.done += 1
        if self.listener:
            self.listener(self.task, self.done, self.parts)


def track(task: str, parts: Iterable[Part]) -> Iterator[Part]:
    """The tiles of one pass, each reported to the listener when the next is asked for."""
    parts = list(parts)
    progress = Progress(task, len(parts))
    for part in parts:
        yield part
        progress.step()


@contextmanager
def as_part_of_passes(task: str, number: int, count: int) -> Iterator[None]:
    """Report a pass of this task inside as part `number` of `count`, from 0. Other tasks are silent."""
    listener = current_listener.get()
    if listener is None:
        yield
        return

    def report(reported_task: str, done: int, of: int) -> None:
        if reported_task == task:
            listener(task, number * of + done, count * of)

    with progress_listener(report):
        yield
