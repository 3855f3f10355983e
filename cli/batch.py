"""Runs the jobs of a command here, in processes or on a cluster, and prints the outcome of each."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import typer

from aecodec.cli.cluster import outcomes_on
from aecodec.cli.files import STANDARD_STREAM, UsageError, check_readable, is_stream, printable, readable_size
from aecodec.cli.jobs import Batch, Job, Record, unexpected
from aecodec.cli.processes import outcomes_in
from aecodec.cli.progress import Bar

if TYPE_CHECKING:
    from aecodec import AecodecError

SKIPPED = "there already, left as it is"


def exists(job: Job) -> bool:
    """Whether the output of a job exists, with any content."""
    return job.target.exists()


def run(
    jobs: list[Job],
    work: Callable[[Job], Record],
    describe: Callable[[Record], str],
    batch: Batch,
    is_done: Callable[[Job], bool] = exists,
) -> None:
    """Run the jobs and print a line for each.

    A failure among several jobs is printed, the others go on, and the exit code is 1. The error of a single
    job is raised, so it keeps its exit code. `is_done` tells whether an existing output is one that the job
    would make; it raises AecodecError if the output must not be overwritten.
    """
    streams = [job for job in jobs if is_stream(job.source) or job.target == STANDARD_STREAM]
    if streams and (batch.resume or batch.cluster):  # which may read a file twice
        raise UsageError("--resume and --cluster need files that have names: - has none, nor has a pipe")
    if any(job.target == STANDARD_STREAM for job in jobs):
        check_standard_output(batch)
    if batch.dry_run:
        dry_run(jobs, is_done, batch)
        return
    attempts = outcomes(jobs, work, batch, is_done)
    if len(jobs) > 1:
        print_all(attempts, len(jobs), describe, batch)
        return
    [(job, outcome)] = attempts
    if isinstance(outcome, Exception):
        print_failure(job, outcome, batch)
        raise outcome
    print_record(outcome, describe, batch)


def print_all(
    attempts: Iterator[tuple[Job, Record | Exception]],
    count: int,
    describe: Callable[[Record], str],
    batch: Batch,
) -> None:
    """Print what comes of `count` jobs as they finish, and a summary; raises typer.Exit if any failed."""
    records: list[Record] = []
    failures = 0
    bar = Bar(batch.quiet)
    bar.show("files", 0, count)
    try:
        for job, outcome in attempts:
            bar.clear()
            if isinstance(outcome, dict):
                print_record(outcome, describe, batch)
                records.append(outcome)
            else:
                typer.echo(f"aecodec: {outcome}", err=True)
                print_failure(job, outcome, batch)
                failures += 1
            bar.show("files", len(records) + failures, count)
    finally:  # an interrupt leaves no bar behind
        bar.clear()
    if not batch.quiet:
        typer.echo(summary(records, failures), err=True)
    if failures:
        raise typer.Exit(1)


def dry_run(jobs: list[Job], is_done: Callable[[Job], bool], batch: Batch) -> None:
    """Print what jobs would write; raises what `run` raises for those that fail without any coding."""
    errors = [error for job in jobs if (error := print_dry_run(job, is_done, batch))]
    if errors and len(jobs) == 1:
        raise errors[0]
    for error in errors:
        typer.echo(f"aecodec: {error}", err=True)
    if errors:
        raise typer.Exit(1)


def print_dry_run(job: Job, is_done: Callable[[Job], bool], batch: Batch) -> AecodecError | None:
    """Print what a job would write, or that it is skipped; returns the error of one that is refused."""
    from aecodec import AecodecError

    line, refusal = f"{printable(job.source)} -> {printable(job.target)}", None
    try:
        if job.refusal:
            raise AecodecError(job.refusal)
        if batch.skips_existing and os.path.lexists(job.target) and is_done(job):
            line = f"{printable(job.target)}: {SKIPPED}"
        else:
            check_readable(job.source)
    except AecodecError as error:
        refusal = error
    record = {"input": str(job.source), "output": str(job.target), "refusal": str(refusal or "")}
    if batch.as_json or not refusal:
        typer.echo(json.dumps(record) if batch.as_json else line)
    return refusal


def summary(records: list[Record], failures: int) -> str:
    """One line of counts and sizes for many files. Sizes are those of the files that were made."""
    made = [record for record in records if "bytes_after" in record]
    before, after = (sum(record[key] for record in made) for key in ("bytes_before", "bytes_after"))
    skipped = sum(SKIPPED in record["notes"] for record in records)
    counts = {"there already": skipped, "left alone": len(records) - len(made) - skipped, "failed": failures}
    others = "".join(f", {count} {label}" for label, count in counts.items() if count)
    sizes = f"{readable_size(before)} -> {readable_size(after)}"
    return f"{len(made)} of {len(records) + failures} files: {sizes}{others}"


def check_standard_output(batch: Batch) -> None:
    """Raise UsageError if a file must not go to the standard output."""
    if batch.as_json:
        raise UsageError("--json and the file would both go to the standard output: name a file")
    if sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("the file would go to the terminal: name a file, or redirect the output")


def outcomes(
    jobs: list[Job], work: Callable[[Job], Record], batch: Batch, is_done: Callable[[Job], bool] = exists
) -> Iterator[tuple[Job, Record | Exception]]:
    """Each job with its record or its error, in the order in which they finish."""
    attempt_job, count = partial(attempt, work, is_done, batch), min(batch.jobs, len(jobs))
    if batch.cluster:
        yield from outcomes_on(batch.cluster, jobs, attempt_job)
    elif count > 1:
        yield from outcomes_in(count, jobs, attempt_job)
    elif batch.quiet or sys.stderr is None or not sys.stderr.isatty():  # nobody would see the bar
        for job in jobs:
            yield job, attempt_job(job)
    else:
        for job in jobs:
            with Bar(quiet=False).within_pictures():
                outcome = attempt_job(job)
            yield job, outcome


def attempt(
    work: Callable[[Job], Record], is_done: Callable[[Job], bool], batch: Batch, job: Job
) -> Record | Exception:
    """The record of a job, or its error. A skipped job has a record too.

    A fault of the program becomes an error that names the file. On a cluster it is raised, for another try.
    """
    from aecodec import AecodecError

    if job.refusal:
        return AecodecError(job.refusal)
    skipped = {"input": str(job.source), "output": str(job.target), "notes": (SKIPPED,)}
    existed = os.path.lexists(job.target) and batch.skips_existing
    try:
        if existed:
            if is_done(job):
                return skipped
            job = replace(job, force=batch.resume)
        return work(job)
    except (AecodecError, UsageError) as error:
        done_meanwhile = batch.skips_existing and not existed and isinstance(error.__cause__, FileExistsError)
        return skipped if done_meanwhile else error
    except MemoryError:
        return AecodecError(f"{job.source}: there is too little memory for it")
    except Exception as error:
        if batch.cluster:
            raise
        return unexpected(job, error)


def print_failure(job: Job, error: Exception, batch: Batch) -> None:
    """Print the error of a file as JSON, if JSON is asked for."""
    if batch.as_json:
        typer.echo(json.dumps({"input": str(job.source), "error": str(error)}))


def print_record(record: Record, describe: Callable[[Record], str], batch: Batch) -> None:
    """Print the record of one file as JSON, and for people a line for the file and one for each note."""
    if batch.as_json:
        typer.echo(json.dumps(record))
    if not batch.quiet:
        lines = [describe(record)] if "bytes_after" in record else []
        for line in (*lines, *(f"{record['output']}: {note}" for note in record["notes"])):
            typer.echo(line, err=True)
