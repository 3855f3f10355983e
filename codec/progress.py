"""Tells whoever watches how far a network has come with the tiles of a picture.

>>> from aecodec.engine import tiles
>>> with watching(print):
...     places = [tile.place for tile in told("analysing", tiles(1, 3, core=2, halo=0))]
analysing 1 2
analysing 2 2
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias, TypeVar

Part = TypeVar("Part")
Watcher: TypeAlias = Callable[[str, int, int], object]  # of the task, tiles done, and of how many

current: ContextVar[Watcher | None] = ContextVar("current", default=None)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Within, `watcher` is told of each tile that a network is done with; there may be many passes."""
    token = current.set(watcher)
    try:
        yield
    finally:
        current.reset(token)


class Progress:
    """What the watcher is told of one pass, tile after tile."""

    def __init__(self, task: str, parts: int) -> None:
        self.task, self.done, self.parts, self.watcher = task, 0, parts, current.get()

    def step(self) -> None:
        """One more tile is done."""
        self.done += 1
        if self.watcher:
            self.watcher(self.task, self.done, self.parts)


def told(task: str, parts: Iterable[Part]) -> Iterator[Part]:
    """The tiles of one pass, while the watcher is told of each when the next is asked for."""
    parts = list(parts)
    progress = Progress(task, len(parts))
    for part in parts:
        yield part
        progress.step()


@contextmanager
def part_of_passes(task: str, number: int, count: int) -> Iterator[None]:
    """Within, a pass of this task is told of as part `number`, from 0, of `count` parts, and no other is."""
    watcher = current.get()
    if watcher is None:
        yield
        return

    def tell(each: str, done: int, of: int) -> None:
        if each == task:
            watcher(task, number * of + done, count * of)

    with watching(tell):
        yield
