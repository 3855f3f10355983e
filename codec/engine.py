"""Runs an exported network over a picture of any size, tile by tile, in bounded memory.

Tiles overlap by a halo, beyond which a network sees no more than rounding, so where they lie leaves no trace
(hardly any in the encoder, whose products of 8 bits are rounded by the extremes of a tile and whose networks
see farther: see `aecodec.pipeline` and `aecodec.descent`).
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import cache, partial
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from aecodec.background import begin
from aecodec.errors import AecodecError, ModelError
from aecodec.graph_constants import with_constant
from aecodec.progress import Progress

Floats = NDArray[np.float32]
ARENA = Lock()
Window = tuple[slice, slice]
Finish = Callable[[Floats, Window], Floats]  # of levels (h, w, 3), 0 to 255, at a place of the picture
Part = TypeVar("Part")
QUALITY = "quality"  # the input of graphs that take one
MOST_AT_ONCE = 4  # tiles, as each takes about 0.2 GB; cores beyond work within them
SESSIONS = 3  # of a network for its last qualities that are kept: 10 to 30 MB each

at_once: ContextVar[int] = ContextVar("at_once", default=1)  # tiles that share the cores with this one


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile in units of cells: `outer` is read, of whose result `inner` is kept, at `place`."""

    outer: Window
    inner: Window
    place: Window


def spans(length: int, core: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """One axis cut into cores as equal as can be: for each (outer, inner within outer, place)."""
    count = -(-length // core)
    for number in range(count):
        start, end = (length * edge // count for edge in (number, number + 1))
        first, last = max(start - halo, 0), min(end + halo, length)
        yield slice(first, last), slice(start - first, end - first), slice(start, end)


def tiles(height: int, width: int, core: int, halo: int) -> Iterator[Tile]:
    """Tiles that cover height x width cells, with cores of at most `core` cells each way."""
    for row in spans(height, core, halo):
        for column in spans(width, core, halo):
            yield Tile((row[0], column[0]), (row[1], column[1]), (row[2], column[2]))


def narrowed(tile: Tile, halo: int) -> Tile:
    """The tile with a halo of at most so many cells; `outer` counts from where that of the tile starts."""
    sides = [
        slice(max(kept.start - halo, 0), min(kept.stop + halo, seen.stop - seen.start))
        for kept, seen in zip(tile.inner, tile.outer, strict=True)
    ]
    outer = sides[0], sides[1]
    return Tile(outer, within(tile.inner, outer), tile.place)


def moved(span: slice, whole: slice) -> slice:
    """A span counted from where the whole starts."""
    return slice(span.start - whole.start, span.stop - whole.start)


def within(part: Window, whole: Window) -> Window:
    """Rows and columns counted from where those of the whole start."""
    rows, columns = (moved(*pair) for pair in zip(part, whole, strict=True))
    return rows, columns


def scaled(window: Window, factor: int) -> Window:
    """A window of cells in units that are `factor` times finer."""
    rows, columns = window
    return (
        slice(rows.start * factor, rows.stop * factor),
        slice(columns.start * factor, columns.stop * factor),
    )


def overlap(first: slice, second: slice) -> slice:
    """What two spans share; empty where it ends before it starts."""
    return slice(max(first.start, second.start), min(first.stop, second.stop))


def sharing(count: int) -> int:
    """How many of so many tiles are worked on at once."""
    return max(1, min(thread_count(), count, MOST_AT_ONCE))


def for_each(task: str, parts: Sequence[Part], work: Callable[[Part], object]) -> None:
    """Do some work for each part of a picture, several at once in threads, and tell how far it has come.

    Networks that it runs share the cores. What the work raises is raised here, and no other part is begun.
    """
    together, lock, pending = sharing(len(parts)), Lock(), iter(parts)
    progress = Progress(task, len(parts))

    def run() -> None:
        nonlocal pending
        at_once.set(together)
        while True:
            with lock:
                part = next(pending, None)
            if part is None:
                return
            try:
                work(part)
            except BaseException:
                with lock:
                    pending = iter(())
                raise
            with lock:
                progress.step()

    others = [begin(partial(copy_context().run, run)) for _ in range(together - 1)]
    try:
        copy_context().run(run)
    finally:
        for other in others:
            other.exception()  # which waits for it
    for other in others:
        other.result()


class Network:
    """One exported graph, at any quality or, as is faster, at one.

    A graph that takes a quality is loaded anew for each, as a constant, and those of the last are kept; where
    qualities are said to vary it is loaded once. Threads: AECODEC_THREADS, else all cores this process may
    use, shared among tiles that are worked on at once.
    """

    def __init__(self, graph: bytes, varied: bool = False) -> None:
        self.graph, self.varied = graph, varied
        self.sessions: OrderedDict[tuple[float | None, int], Session] = OrderedDict()
        self.lock = Lock()

    def at(self, quality: float) -> Session:
        """The graph as it is run at a quality; raises ModelError where the engine cannot load it."""
        threads = max(1, thread_count() // at_once.get())
        key = None if self.varied else quality, threads
        with self.lock:
            if key not in self.sessions:
                graph = self.graph if self.varied else with_constant(self.graph, QUALITY, quality)
                self.sessions[key] = Session(graph, threads)
                if len(self.sessions) > SESSIONS:
                    self.sessions.popitem(last=False)
            self.sessions.move_to_end(key)
            return self.sessions[key]

    def __call__(self, quality: float, *inputs: Floats) -> list[Floats]:
        """Outputs (C, h, w) of inputs (C, H, W), in the order in which the graph declares them.

        Raises ModelError where the engine cannot load the graph or it takes other inputs, and AecodecError
        where it cannot run it, of which too little memory is the usual reason.
        """
        return self.at(quality)(quality, *inputs)


class Session:
    """A graph that the engine has loaded, to be run with so many threads."""

    def __init__(self, graph: bytes, threads: int) -> None:
        from aecodec.onnx_runtime import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other work needs the cores
        options.log_severity_level = 4  # what fails is raised
        with ARENA:
            share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
        try:
            self.session: Any = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the engine's errors have no root of their own
            remedy = f"upgrade onnxruntime {onnxruntime.__version__}, or free memory"
            raise ModelError(f"a network cannot be loaded ({one_line(error)}): {remedy}") from error
        names = [i.name for i in self.session.get_inputs()]
        self.takes_quality = QUALITY in names
        self.names = [name for name in names if name != QUALITY]

    def __call__(self, quality: float, *inputs: Floats) -> list[Floats]:
        """As a Network's."""
        if len(inputs) != len(self.names):
            takes = ", ".join(self.names)
            raise ModelError(f"a network of the model takes {takes}: export it anew, or upgrade aecodec")
        feed = {name: array[None] for name, array in zip(self.names, inputs, strict=True)}
        if self.takes_quality:
            feed[QUALITY] = np.array([quality], np.float32)
        try:
            return [output[0] for output in self.session.run(None, feed)]
        except Exception as error:
            raise AecodecError(f"a network cannot be run ({one_line(error)}): free memory") from error


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())


@cache
def share_arena() -> None:
    """Gives the networks of this process one arena, as each keeps the most that it ever took."""
    from aecodec.onnx_runtime import onnxruntime

    kinds = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    onnxruntime.create_and_register_allocator(onnxruntime.OrtMemoryInfo("Cpu", *kinds), None)


def thread_count() -> int:
    """Threads to compute with; raises AecodecError for an AECODEC_THREADS that is no positive number."""
    if chosen := os.environ.get("AECODEC_THREADS"):
        if not chosen.isdecimal() or int(chosen) == 0:
            raise AecodecError(f"AECODEC_THREADS is {chosen!r}: set it to a number of threads from 1")
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
