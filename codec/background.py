"""Work that goes on in the background, while the caller does something else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


def begin(work: Callable[[], Result]) -> Future[Result]:
    """Do some work in a thread of its own, or at once where the system refuses one.

    What it raises is kept for who asks for the result. The process does not end before the work does.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # or who waits would wait for ever
            future.set_exception(error)

    try:
        Thread(target=run).start()
    except RuntimeError:
        run()
    return future
