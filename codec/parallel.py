"""Work beside other work: in the background, and tiles side by side, each with its share of the cores."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar, copy_context
from functools import cache, partial
from multiprocessing import parent_process
from pathlib import Path
from threading import Lock, Thread
from typing import TypeVar

from aecodec.errors import AecodecError
from aecodec.progress import Progress, current_listener

Result = TypeVar("Result")
Part = TypeVar("Part")
CONTROL_GROUPS = Path("/sys/fs/cgroup")
# Of version 2 and version 1 of Linux's control groups: microseconds of the processor that are granted in each
# period, and those of a period.
QUOTA_FILES = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))
MOST_THREADS = 1024  # with which networks take some seconds to load; with 100 000 they take hours
MOST_AT_ONCE = 4  # tiles, as each takes about 0.2 GB; cores beyond work within them

at_once: ContextVar[int] = ContextVar("at_once", default=1)  # tiles that share the cores with this one


def run_in_thread(work: Callable[[], Result]) -> Future[Result]:
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


@cache
def loader() -> ThreadPoolExecutor:
    """The one thread that loads networks ahead.

    The C library gives threads heaps of their own and keeps what is freed there. With a new thread for each
    picture, 20 000 small files of many qualities took up to 1097 MiB, with one thread 475 MiB.
    """
    return ThreadPoolExecutor(1, "aecodec-loader")


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=loader.cache_clear)


def end_with_parent() -> None:
    """Have this process end soon after the one that started it, even if that one is killed.

    A pool's process would else finish its job, and then wait for another one for ever.
    """
    if parent := parent_process():

        def watch() -> None:
            parent.join()
            os._exit(1)

        Thread(target=watch, daemon=True).start()


def tiles_at_once(count: int) -> int:
    """How many of so many tiles are worked on at once."""
    return max(1, min(thread_count(), count, MOST_AT_ONCE))


def for_each(task: str | None, parts: Sequence[Part], work: Callable[[Part], Result]) -> list[Result]:
    """The results of some work for each part of a picture, several at once in threads.

    Tells how far the task has come, if it is named. Networks that it runs share the cores. What the work
    raises is raised here, and no other part is begun.
    """
    together, lock, pending = tiles_at_once(len(parts)), Lock(), enumerate(parts)
    results: dict[int, Result] = {}
    progress = Progress(task, len(parts)) if task and current_listener.get() else None

    def run() -> None:
        nonlocal pending
        at_once.set(together)
        while True:
            with lock:
                numbered = next(pending, None)
            if numbered is None:
                return
            number, part = numbered
            try:
                results[number] = work(part)
            except BaseException:
                with lock:
                    pending = enumerate(())
                raise
            if progress:
                with lock:
                    progress.step()

    others = [run_in_thread(partial(copy_context().run, run)) for _ in range(together - 1)]
    try:
        copy_context().run(run)
    finally:
        for other in others:
            other.exception()  # which waits for it
    for other in others:
        other.result()
    return [results[number] for number in range(len(parts))]


def thread_count() -> int:
    """Threads to compute with: AECODEC_THREADS, else as many as this process may keep busy.

    These are the cores that it may run on, or fewer where a container has a smaller share of the processor.
    Raises AecodecError for an AECODEC_THREADS that is no number from 1 to MOST_THREADS.
    """
    if chosen := os.environ.get("AECODEC_THREADS"):
        if not chosen.isdecimal() or not 1 <= int(chosen) <= MOST_THREADS:
            raise AecodecError(
                f"AECODEC_THREADS is {chosen!r}: set it to a number of threads, 1 to {MOST_THREADS}"
            )
        return int(chosen)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for names in QUOTA_FILES:
        with suppress(OSError, ValueError):
            quota, period = " ".join((CONTROL_GROUPS / name).read_text() for name in names).split()
            if quota.isdecimal() and period.isdecimal():  # "max" and -1 are no limit
                cores = min(cores, max(1, math.ceil(int(quota) / int(period))))
            break
    return cores
