"""The files of a batch in processes of this machine, which an interrupt lets finish what they are at."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aecodec.cli.jobs import Job, Record


def outcomes_in(
    count: int, jobs: list[Job], attempt: Callable[[Job], Record | Exception]
) -> Iterator[tuple[Job, Record | Exception]]:
    """Each job with what an attempt gave, as they come from `count` processes.

    No more are handed out than are worked on, and an interrupt comes through after those.
    """
    from aecodec.model.parallel import thread_count

    threads = max(1, thread_count() // count)  # the processes share the cores
    waiting, context = iter(jobs), get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=prepare, initargs=(threads,)) as pool:
        running = {submit(pool, attempt, job): job for job in islice(waiting, count)}
        try:
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done = running.pop(future)
                    yield done, outcome_of(future, done)
                    running.update((submit(pool, attempt, job), job) for job in islice(waiting, 1))
        except KeyboardInterrupt:
            for future in as_completed(running):
                yield running[future], outcome_of(future, running[future])
            raise


def prepare(threads: int) -> None:
    """Has this process compute with so many threads, and leave Ctrl-C to the one that started it."""
    os.environ["AECODEC_THREADS"] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def submit(
    pool: Executor, attempt: Callable[[Job], Record | Exception], job: Job
) -> Future[Record | Exception]:
    """What will come of a job, which a pool that broke in the meantime says too."""
    try:
        return pool.submit(attempt, job)
    except BrokenProcessPool as error:
        broken: Future[Record | Exception] = Future()
        broken.set_exception(error)
        return broken


def outcome_of(future: Future[Record | Exception], job: Job) -> Record | Exception:
    """What an attempt in another process gave, or that the process died."""
    from aecodec import AecodecError

    try:
        return future.result()
    except BrokenProcessPool:
        reason = "not done: a process died, perhaps for want of memory; try fewer --jobs"
        return AecodecError(f"{job.source}: {reason}")
