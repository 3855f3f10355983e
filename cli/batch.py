"""Many inputs at once: which files a command reads and writes, in how many processes, and what it says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import typer

from cli.files import STANDARD, UsageError, choose_output, readable_size, shown

Record = dict[str, Any]  # what came of one file, as --json prints it


@dataclass(frozen=True, slots=True)
class Job:
    """One file to make; STANDARD stands for the standard streams. `refusal` says why it must not be made."""

    source: Path
    target: Path
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """How a command treats its files."""

    output_dir: Path | None = None
    recursive: bool = False
    jobs: int = 1
    dry_run: bool = False
    force: bool = False
    as_json: bool = False
    quiet: bool = False


def plan(paths: list[Path], suffixes: set[str], suffix: str, batch: Batch) -> list[Job]:
    """The jobs that IN... and perhaps OUT ask for; raises UsageError where that makes no sense.

    `suffixes` are those of inputs, by which folders are searched; `suffix` is that of derived outputs.
    """
    try:
        sources, output = split_output(paths, suffixes)
        if output is not None and batch.output_dir:
            raise UsageError(f"{output} and --output-dir exclude each other: give one")
        if STANDARD in sources and (len(sources) > 1 or batch.output_dir):
            raise UsageError("- stands for one picture and goes alone: name files, or run it by itself")
        found = [pair for path in sources for pair in expand(path, suffixes, batch.recursive)]
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
    if not found:
        wanted = " ".join(sorted(suffixes))
        raise UsageError(f"{', '.join(map(str, sources))}: nothing in there has a suffix of {wanted}")
    if len(found) == 1:
        return [Job(found[0][0], target_of(*found[0], output, suffix, batch))]
    jobs = [planned(path, inside, suffix, batch) for path, inside in found]
    check_distinct(jobs)
    return jobs


def split_output(paths: list[Path], suffixes: set[str]) -> tuple[list[Path], Path | None]:
    """IN... and OUT: the second of two paths is OUT unless it is a folder or has the suffix of an input."""
    if len(paths) == 2:
        is_input = paths[1].is_dir() or paths[1].suffix.lower() in suffixes
        if paths[0] == paths[1] or not is_input:
            return paths[:1], paths[1]
    return paths, None


def expand(path: Path, suffixes: set[str], recursive: bool) -> Iterator[tuple[Path, Path]]:
    """A file, or the files below a folder, by name; each with its path below --output-dir."""
    if path == STANDARD or not path.is_dir():
        yield path, Path(path.name)
        return
    if not recursive:
        raise UsageError(f"{path} is a directory: pass --recursive to read it, --output-dir to write into it")
    for below in sorted(path.rglob("*")):
        if below.suffix.lower() in suffixes and below.is_file():
            yield below, below.relative_to(path)


def planned(source: Path, inside: Path, suffix: str, batch: Batch) -> Job:
    """One job of many; that its output must not be written is its own failure."""
    try:
        return Job(source, target_of(source, inside, None, suffix, batch))
    except UsageError as error:
        return Job(source, source, str(error))


def target_of(source: Path, inside: Path, output: Path | None, suffix: str, batch: Batch) -> Path:
    """Where one input's output goes; raises UsageError."""
    if output == STANDARD or (source == STANDARD and output is None):
        return STANDARD
    if batch.output_dir:
        output = batch.output_dir / inside.with_suffix(suffix)
    return choose_output(source, output, suffix, batch.force, create=batch.output_dir is not None)


def check_distinct(jobs: list[Job]) -> None:
    """Raises UsageError where two inputs would be written to one file."""
    seen: dict[Path, Path] = {}
    for job in jobs:
        if not job.refusal and (other := seen.setdefault(job.target, job.source)) is not job.source:
            raise UsageError(f"{other} and {job.source} would both become {job.target}: name them apart")


def run(
    jobs: list[Job], work: Callable[[Job], Record], describe: Callable[[Record], str], batch: Batch
) -> None:
    """Does the jobs, a line for each. One that fails is said, and the rest go on; then the exit code is 1.

    A single job's error is raised, and so has an exit code of its own.
    """
    if any(job.target == STANDARD for job in jobs):
        check_standard_output(batch)
    if batch.dry_run:
        for job in jobs:
            would = job.refusal or f"{shown(job.source)} -> {shown(job.target)}"
            record = {"input": str(job.source), "output": str(job.target), "refusal": job.refusal}
            typer.echo(json.dumps(record) if batch.as_json else would)
        return
    if len(jobs) == 1:
        say(work(jobs[0]), describe, batch)
        return
    records: list[Record] = []
    failures = 0
    show_progress(0, len(jobs), batch)
    for job, outcome in outcomes(jobs, work, min(batch.jobs, len(jobs))):
        clear_progress(batch)
        if isinstance(outcome, dict):
            say(outcome, describe, batch)
            records.append(outcome)
        else:
            typer.echo(f"aecodec: {outcome}", err=True)
            if batch.as_json:
                typer.echo(json.dumps({"input": str(job.source), "error": str(outcome)}))
            failures += 1
        show_progress(len(records) + failures, len(jobs), batch)
    if not batch.quiet:
        before, after = (sum(record[key] for record in records) for key in ("bytes_before", "bytes_after"))
        failed = f", {failures} failed" if failures else ""
        sizes = f"{readable_size(before)} -> {readable_size(after)}"
        typer.echo(f"{len(records)} of {len(jobs)} files: {sizes}{failed}", err=True)
    if failures:
        raise typer.Exit(1)


def check_standard_output(batch: Batch) -> None:
    """Raises UsageError where a file must not go to the standard output."""
    if batch.as_json:
        raise UsageError("--json and the file would both go to the standard output: name a file")
    if sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("the file would go to the terminal: name a file, or redirect the output")


def outcomes(
    jobs: list[Job], work: Callable[[Job], Record], count: int
) -> Iterator[tuple[Job, Record | Exception]]:
    """Each job with its record or the error it ended with, as they come."""
    from codec import AecodecError
    from codec.engine import thread_count

    if count == 1:
        yield from ((job, attempt(work, job)) for job in jobs)
        return
    os.environ["AECODEC_THREADS"] = str(max(1, thread_count() // count))  # the processes share the cores
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=ignore_interrupts)
    try:
        futures = {pool.submit(partial(attempt, work), job): job for job in jobs}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                reason = "not done: a process died, perhaps for want of memory; try fewer --jobs"
                yield futures[future], AecodecError(f"{futures[future].source}: {reason}")
    finally:
        pool.shutdown(cancel_futures=True)


def ignore_interrupts() -> None:
    """Leaves Ctrl-C to the process that started this one, which ends it after its file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def attempt(work: Callable[[Job], Record], job: Job) -> Record | Exception:
    """The record of a job, or an error that was raised on purpose."""
    from codec import AecodecError

    if job.refusal:
        return UsageError(job.refusal)
    try:
        return work(job)
    except (AecodecError, UsageError) as error:
        return error
    except MemoryError:
        return AecodecError(f"{job.source}: there is too little memory for it")


def say(record: Record, describe: Callable[[Record], str], batch: Batch) -> None:
    """What came of one file, as a line for people, one more for each note, and as JSON."""
    if batch.as_json:
        typer.echo(json.dumps(record))
    if not batch.quiet:
        for line in (describe(record), *(f"{record['output']}: note: {note}" for note in record["notes"])):
            typer.echo(line, err=True)


def show_progress(done: int, of: int, batch: Batch) -> None:
    """A bar in the last line of a terminal."""
    if sys.stderr.isatty() and not batch.quiet and done < of:
        width = max(shutil.get_terminal_size().columns - 20, 1)
        bar = "#" * (width * done // of)
        sys.stderr.write(f"[{bar:{width}}] {done}/{of}")
        sys.stderr.flush()


def clear_progress(batch: Batch) -> None:
    if sys.stderr.isatty() and not batch.quiet:
        sys.stderr.write("\r\033[K")
