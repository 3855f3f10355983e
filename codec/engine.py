"""Runs an exported network over a picture of any size, tile by tile, in bounded memory.

Tiles overlap by a halo, beyond which a network sees no more than rounding, so where they lie leaves no trace
(hardly any in the encoder, whose products of 8 bits are rounded by the extremes of a tile and whose networks
see farther: see `codec.pipeline` and `codec.descent`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codec.errors import AecodecError, ModelError

Floats = NDArray[np.float32]
ARENA = Lock()
Window = tuple[slice, slice]
Finish = Callable[[Floats, Window], Floats]  # of levels (h, w, 3), 0 to 255, at a place of the picture


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


def moved(span: slice, whole: slice) -> slice:
    """A span counted from where the whole starts."""
    return slice(span.start - whole.start, span.stop - whole.start)


class Network:
    """One exported graph. Threads: AECODEC_THREADS, else all cores this process may use.

    Raises ModelError where the engine cannot load it or it takes other inputs, and AecodecError where it
    cannot run it, of which too little memory is the usual reason.
    """

    def __init__(self, graph: bytes) -> None:
        from codec.onnx_runtime import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count()
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
        self.takes_quality = "quality" in names
        self.names = [name for name in names if name != "quality"]

    def __call__(self, quality: float, *inputs: Floats) -> list[Floats]:
        """Outputs (C, h, w) of inputs (C, H, W), in the order in which the graph declares them."""
        if len(inputs) != len(self.names):
            takes = ", ".join(self.names)
            raise ModelError(f"a network of the model takes {takes}: export it anew, or upgrade aecodec")
        feed = {name: array[None] for name, array in zip(self.names, inputs, strict=True)}
        if self.takes_quality:
            feed["quality"] = np.array([quality], np.float32)
        try:
            return [output[0] for output in self.session.run(None, feed)]
        except Exception as error:
            raise AecodecError(f"a network cannot be run ({one_line(error)}): free memory") from error


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())


@cache
def share_arena() -> None:
    """Gives the networks of this process one arena, as each keeps the most that it ever took."""
    from codec.onnx_runtime import onnxruntime

    kinds = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    onnxruntime.create_and_register_allocator(onnxruntime.OrtMemoryInfo("Cpu", *kinds), None)


def thread_count() -> int:
    """Threads to compute with; raises AecodecError for an AECODEC_THREADS that is no positive number."""
    if chosen := os.environ.get("AECODEC_THREADS"):
        if not chosen.isdecimal() or int(chosen) == 0:
            raise AecodecError(f"AECODEC_THREADS is {chosen!r}: set it to a number of threads from 1")
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
