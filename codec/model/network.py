"""Networks: exported graphs, run by ONNX Runtime."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from weakref import WeakSet

import numpy as np

from aecodec.arrays import Floats
from aecodec.errors import AecodecError, ModelError, one_line
from aecodec.model.onnx_graph import with_constant
from aecodec.parallel import at_once, thread_count

QUALITY = "quality"  # the input of graphs that take one
SESSIONS = 3  # of a network for its last qualities that are kept: 10 to 30 MB each


@dataclass(eq=False)
class Network:
    """One exported graph, at any quality or, as is faster, at one.

    `graph` gives its file, and is called as it is loaded. A graph that takes a quality is loaded anew for
    each, as a constant, and those of the last are kept; where qualities are said to vary it is loaded once.
    Threads: AECODEC_THREADS, else all cores this process may use, shared among tiles that are worked on at
    once.
    """

    graph: Callable[[], bytes]
    varied: bool = False
    # By quality, unless it varies, and number of threads:
    sessions: OrderedDict[tuple[float | None, int], Any] = field(default_factory=OrderedDict, init=False)
    lock: Any = field(default_factory=Lock, init=False)

    def __post_init__(self) -> None:
        networks.add(self)

    def at(self, quality: float, together: int | None = None) -> Any:
        """The engine's session of the graph at a quality; raises ModelError where it cannot load it.

        `together` is how many tiles are worked on at once, by default as many as at this moment.
        """
        threads = max(1, thread_count() // (together or at_once.get()))
        key = None if self.varied else quality, threads
        with self.lock:
            if key not in self.sessions:
                graph = self.graph()
                self.sessions[key] = load(
                    graph if self.varied else with_constant(graph, QUALITY, quality), threads
                )
                if len(self.sessions) > SESSIONS:
                    self.sessions.popitem(last=False)
            self.sessions.move_to_end(key)
            return self.sessions[key]

    def __call__(self, quality: float, *inputs: Floats) -> list[Floats]:
        """Outputs (C, h, w) of inputs (C, H, W), in the order in which the graph declares them.

        Raises ModelError where the engine cannot load the graph or it takes other inputs, and AecodecError
        where it cannot run it, of which too little memory is the usual reason.
        """
        session = self.at(quality)
        names = [declared.name for declared in session.get_inputs()]
        takes = [name for name in names if name != QUALITY]
        if len(inputs) != len(takes):
            remedy = "export it anew, or upgrade aecodec"
            raise ModelError(f"a network of the model takes {', '.join(takes)}: {remedy}")
        feed = {name: array[None] for name, array in zip(takes, inputs, strict=True)}
        if QUALITY in names:
            feed[QUALITY] = np.array([quality], np.float32)
        try:
            return [output[0] for output in session.run(None, feed)]
        except Exception as error:
            raise AecodecError(f"a network cannot be run ({one_line(error)}): free memory") from error


networks: WeakSet[Network] = WeakSet()
abandoned: list[Any] = []  # sessions of a parent process


def abandon_sessions() -> None:
    """In a child process, make networks forget the sessions of its parent, whose threads it has not got.

    They are not destroyed, as that would wait for these threads.
    """
    for network in list(networks):
        abandoned.append(network.sessions)
        network.sessions, network.lock = OrderedDict(), Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=abandon_sessions)


def load(graph: bytes, threads: int) -> Any:
    """A session of the engine, which runs a graph with so many threads; raises ModelError."""
    from aecodec.model.onnx_runtime import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other work needs the cores
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 4  # what fails is raised
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the engine's errors have no root of their own
        remedy = f"upgrade onnxruntime {onnxruntime.__version__}, or free memory"
        raise ModelError(f"a network cannot be loaded ({one_line(error)}): {remedy}") from error
