"""Signals that end a process, where they must not do so at any moment.

A training step defers them, since half a step would leave half-updated weights. While a pool of processes
works, only the first of them counts.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HANG_UP = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()  # which Windows lacks
SIGNALS = (signal.SIGINT, signal.SIGTERM, *HANG_UP)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """A context that defers Ctrl-C, SIGTERM and SIGHUP to its end.

    In other threads, which get none of them, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    handlers = {
        number: signal.signal(number, lambda caught, _: received.append(caught)) for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for caught in received[:1]:
            signal.raise_signal(caught)


@contextmanager
def first_interrupt_only() -> Iterator[None]:
    """A context that ignores Ctrl-C, SIGTERM and SIGHUP after the first of them.

    A second one would end the wait for a pool's processes, and a third one would leave them without an end.
    In other threads, which get none of them, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def handle(caught: int, frame: FrameType | None) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if callable(handler := handlers[signal.Signals(caught)]):
            handler(caught, frame)

    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
