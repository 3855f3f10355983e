"""Runs the jobs of a batch in processes of this machine.

After an interrupt they finish their current job, and further interrupts are ignored. When this process is
killed they end too.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from typing import TYPE_CHECKING

from aecodec.training.interrupts import HANG_UP, first_interrupt_only

if TYPE_CHECKING:
    from aecodec.cli.jobs import Job, Record

LEFT_TO_PARENT = (signal.SIGINT, *HANG_UP)  # signals that a terminal sends to all processes of a command


def outcomes_in(
    count: int, jobs: list[Job], attempt: Callable[[Job], Record | Exception]
) -> Iterator[tuple[Job, Record | Exception]]:
    """Each job with its outcome, in the order in which `count` processes finish.

    At most `count` jobs are handed out at a time. An interrupt is raised after those are finished.
    """
    from aecodec.parallel import thread_count

    threads = max(1, thread_count() // count)  # the processes share the cores
    pending = iter(jobs)
    with first_interrupt_only(), pool_of(count, threads) as pool:
        running = {submit(pool, attempt, job): job for job in islice(pending, count)}
        try:
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    finished = running.pop(future)
                    yield finished, outcome_of(future, finished)
                    running.update((submit(pool, attempt, job), job) for job in islice(pending, 1))
        except (KeyboardInterrupt, SystemExit):
            for future in as_completed(running):
                yield running[future], outcome_of(future, running[future])
            raise


def pool_of(count: int, threads: int) -> ProcessPoolExecutor:
    """A pool of processes of so many threads, and what Python watches their semaphores by."""
    with held_back_interrupts():
        return ProcessPoolExecutor(count, get_context("spawn"), initializer=prepare, initargs=(threads,))


def prepare(threads: int) -> None:
    """Limit this process to a number of threads, leave Ctrl-C and SIGHUP to its parent, and end with that."""
    from aecodec.parallel import end_with_parent

    os.environ["AECODEC_THREADS"] = str(threads)
    for number in LEFT_TO_PARENT:
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()


def submit(
    pool: Executor, attempt: Callable[[Job], Record | Exception], job: Job
) -> Future[Record | Exception]:
    """The future of a job. If the pool broke meanwhile, the future holds that error."""
    try:
        with held_back_interrupts():
            return pool.submit(attempt, job)
    except BrokenProcessPool as error:
        broken: Future[Record | Exception] = Future()
        broken.set_exception(error)
        return broken


@contextmanager
def held_back_interrupts() -> Iterator[None]:
    """A context that holds Ctrl-C and SIGHUP back. A process that is started in it never gets them."""
    if not hasattr(signal, "pthread_sigmask"):  # as on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def outcome_of(future: Future[Record | Exception], job: Job) -> Record | Exception:
    """The outcome of an attempt in another process, or an error saying that the process died."""
    from aecodec import AecodecError

    try:
        return future.result()
    except BrokenProcessPool:
        reason = "not done: a process died, perhaps for want of memory; try fewer --jobs"
        return AecodecError(f"{job.source}: {reason}")
