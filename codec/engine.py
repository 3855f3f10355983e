"""Runs an exported network over a picture of any size, tile by tile, in bounded memory.

Tiles overlap by a halo as wide as the network's receptive field, so where they lie leaves no trace.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Window = tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile in units of cells: `outer` is read, of whose result `inner` is kept, at `place`."""

    outer: Window
    inner: Window
    place: Window


def spans(length: int, core: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """One axis cut into cores: for each (outer, inner within outer, place)."""
    for start in range(0, length, core):
        end = min(start + core, length)
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


class Network:
    """One exported graph. Threads: AECODEC_THREADS, else all cores this process may use."""

    def __init__(self, graph: bytes, quality_input: str = "quality") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.takes_quality = any(i.name == quality_input for i in self.session.get_inputs())

    def __call__(self, quality: float, *inputs: Floats) -> list[Floats]:
        """Outputs (C, h, w) of inputs (C, H, W), in the order in which the graph declares them."""
        names = [i.name for i in self.session.get_inputs() if i.name != "quality"]
        feed = {name: array[None] for name, array in zip(names, inputs, strict=True)}
        if self.takes_quality:
            feed["quality"] = np.array([quality], np.float32)
        return [output[0] for output in self.session.run(None, feed)]


def thread_count() -> int:
    """Threads to compute with."""
    if chosen := os.environ.get("AECODEC_THREADS", ""):
        return max(1, int(chosen)) if chosen.isdigit() else 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
