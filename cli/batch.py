"""Does the jobs of a command, here, in processes or on a cluster, and says what came of each."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import typer

from aecodec.cli.cluster import outcomes_on
from aecodec.cli.files import STANDARD, UsageError, readable_size, shown
from aecodec.cli.jobs import Batch, Job, Record, unexpected
from aecodec.cli.processes import outcomes_in
from aecodec.cli.progress import Bar

THERE = "there already, left as it is"


def exists(job: Job) -> bool:
    """Whether there is an output, whatever is in it."""
    return job.target.exists()


def run(
    jobs: list[Job],
    work: Callable[[Job], Record],
    describe: Callable[[Record], str],
    batch: Batch,
    made: Callable[[Job], bool] = exists,
) -> None:
    """Does the jobs, a line for each. One that fails is said, and the rest go on; then the exit code is 1.

    A single job's error is raised, and so has an exit code of its own. `made` says of an output that exists
    whether it is what the job would make; where it must not be made anew, it raises an AecodecError.
    """
    if any(STANDARD in (job.source, job.target) for job in jobs) and (batch.resume or batch.cluster):
        raise UsageError("--resume and --cluster need files that have names: - has none")
    if any(job.target == STANDARD for job in jobs):
        check_standard_output(batch)
    if batch.dry_run:
        for job in jobs:
            foretell(job, made, batch)
        return
    if len(jobs) == 1:
        [(_, outcome)] = outcomes(jobs, work, batch, made)
        if isinstance(outcome, Exception):
            record_failure(jobs[0], outcome, batch)
            raise outcome
        say(outcome, describe, batch)
        return
    records: list[Record] = []
    failures = 0
    bar = Bar(batch.quiet)
    bar.show("files", 0, len(jobs))
    try:
        for job, outcome in outcomes(jobs, work, batch, made):
            bar.clear()
            if isinstance(outcome, dict):
                say(outcome, describe, batch)
                records.append(outcome)
            else:
                typer.echo(f"aecodec: {outcome}", err=True)
                record_failure(job, outcome, batch)
                failures += 1
            bar.show("files", len(records) + failures, len(jobs))
    finally:  # an interrupt leaves no bar behind
        bar.clear()
    if not batch.quiet:
        typer.echo(summary(records, failures), err=True)
    if failures:
        raise typer.Exit(1)


def foretell(job: Job, made: Callable[[Job], bool], batch: Batch) -> None:
    """Says what would be done."""
    from aecodec import AecodecError

    would, refusal = f"{shown(job.source)} -> {shown(job.target)}", job.refusal
    try:
        if not refusal and batch.keeps and os.path.lexists(job.target) and made(job):
            would = f"{shown(job.target)}: {THERE}"
    except AecodecError as error:
        refusal = str(error)
    record = {"input": str(job.source), "output": str(job.target), "refusal": refusal}
    typer.echo(json.dumps(record) if batch.as_json else refusal or would)


def summary(records: list[Record], failures: int) -> str:
    """What came of many files, in a line; sizes are those of the files that were made."""
    made = [record for record in records if "bytes_after" in record]
    before, after = (sum(record[key] for record in made) for key in ("bytes_before", "bytes_after"))
    there = sum(THERE in record["notes"] for record in records)
    counts = {"there already": there, "left alone": len(records) - len(made) - there, "failed": failures}
    others = "".join(f", {count} {what}" for what, count in counts.items() if count)
    sizes = f"{readable_size(before)} -> {readable_size(after)}"
    return f"{len(made)} of {len(records) + failures} files: {sizes}{others}"


def check_standard_output(batch: Batch) -> None:
    """Raises UsageError where a file must not go to the standard output."""
    if batch.as_json:
        raise UsageError("--json and the file would both go to the standard output: name a file")
    if sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("the file would go to the terminal: name a file, or redirect the output")


def outcomes(
    jobs: list[Job], work: Callable[[Job], Record], batch: Batch, made: Callable[[Job], bool] = exists
) -> Iterator[tuple[Job, Record | Exception]]:
    """Each job with its record or the error it ended with, as they come."""
    once, count = partial(attempt, work, made, batch), min(batch.jobs, len(jobs))
    if batch.cluster:
        yield from outcomes_on(batch.cluster, jobs, once)
        return
    if count == 1:
        for job in jobs:
            with Bar(batch.quiet).within_pictures():
                outcome = guarded(once, job)
            yield job, outcome
        return
    yield from outcomes_in(count, jobs, partial(guarded, once))


def attempt(
    work: Callable[[Job], Record], made: Callable[[Job], bool], batch: Batch, job: Job
) -> Record | Exception:
    """The record of a job, or an error that was raised on purpose. That an output is kept is a record too."""
    from aecodec import AecodecError

    if job.refusal:
        return AecodecError(job.refusal)
    left = {"input": str(job.source), "output": str(job.target), "notes": (THERE,)}
    there = batch.keeps and os.path.lexists(job.target)
    try:
        if there:
            if made(job):
                return left
            job = replace(job, force=batch.resume)
        return work(job)
    except (AecodecError, UsageError) as error:
        made_meanwhile = batch.keeps and not there and isinstance(error.__cause__, FileExistsError)
        return left if made_meanwhile else error
    except MemoryError:
        return AecodecError(f"{job.source}: there is too little memory for it")


def guarded(once: Callable[[Job], Record | Exception], job: Job) -> Record | Exception:
    """What an attempt gave, or the failure of its file that a fault of the program is."""
    try:
        return once(job)
    except Exception as error:
        return unexpected(job, error)


def record_failure(job: Job, error: Exception, batch: Batch) -> None:
    """What a file failed with, as JSON."""
    if batch.as_json:
        typer.echo(json.dumps({"input": str(job.source), "error": str(error)}))


def say(record: Record, describe: Callable[[Record], str], batch: Batch) -> None:
    """What came of one file, as JSON and for people: a line if it was made, and one for each note."""
    if batch.as_json:
        typer.echo(json.dumps(record))
    if not batch.quiet:
        lines = [describe(record)] if "bytes_after" in record else []
        for line in (*lines, *(f"{record['output']}: {note}" for note in record["notes"])):
            typer.echo(line, err=True)
