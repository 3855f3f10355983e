"""Many inputs at once: which files a command reads and writes, in how many processes, and what it says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import typer

from cli.cluster import outcomes_on
from cli.files import STANDARD, UsageError, check_folder, choose_output, readable_size, shown
from cli.processes import outcomes_in
from cli.progress import Bar

THERE = "there already, left as it is"
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
    resume: bool = False
    cluster: str | None = None  # address of a Dask scheduler

    def __post_init__(self) -> None:
        if self.resume and self.force:
            raise UsageError("--resume leaves outputs that exist, --force overwrites them: give one")
        if self.cluster and self.jobs > 1:
            raise UsageError("--cluster has as many jobs at a time as workers: leave out --jobs")

    @property
    def keeps(self) -> bool:
        """Whether a job whose output exists is done: by an earlier run, or by a worker that then died."""
        return self.resume or (self.cluster is not None and not self.force)


def plan(paths: list[Path], suffixes: set[str], suffix: str, batch: Batch, pairs: bool = False) -> list[Job]:
    """The jobs that IN... and perhaps OUT ask for; raises UsageError where that makes no sense.

    `suffixes` are those of inputs, by which folders are searched; `suffix` is that of derived outputs.
    With `pairs` outputs may look like inputs: of two paths the second is OUT, without --output-dir.
    """
    try:
        named = pairs and len(paths) == 2 and not batch.output_dir and not paths[1].is_dir()
        sources, output = (paths[:1], paths[1]) if named else split_output(paths, suffixes, batch)
        if output is not None and batch.output_dir:
            raise UsageError(f"{output} and --output-dir exclude each other: give one")
        if STANDARD in sources and (len(sources) > 1 or batch.output_dir):
            raise UsageError("- stands for one picture and goes alone: name files, or run it by itself")
        if batch.output_dir:
            check_folder(batch.output_dir, create=True)
        found = [pair for path in sources for pair in expand(path, suffixes, batch.recursive)]
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
    if not found:
        wanted = " ".join(sorted(suffixes))
        raise UsageError(f"{', '.join(map(str, sources))}: nothing in there has a suffix of {wanted}")
    if len(found) == 1:
        return [Job(found[0][0], target_of(*found[0], output, suffix, batch))]
    return distinct([planned(path, inside, suffix, batch) for path, inside in found])


def split_output(paths: list[Path], suffixes: set[str], batch: Batch) -> tuple[list[Path], Path | None]:
    """IN... and OUT: the second of two paths is OUT unless it is a folder or has the suffix of an input.

    A path given twice is IN and OUT, or with --output-dir IN twice.
    """
    if len(paths) == 2:
        is_input = paths[1].is_dir() or paths[1].suffix.lower() in suffixes
        if (paths[0] == paths[1] and not batch.output_dir) or not is_input:
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
    force, create = batch.force or batch.resume, batch.output_dir is not None
    return choose_output(source, output, suffix, force, create)


def distinct(jobs: list[Job]) -> list[Job]:
    """The jobs, refused from the second on of those that would write one file."""
    first: dict[Path, Job] = {}
    return [
        job if job.refusal or first.setdefault(job.target, job) is job else refused(job, first[job.target])
        for job in jobs
    ]


def refused(job: Job, first: Job) -> Job:
    """The job, whose output the first one writes."""
    if first.source == job.source:
        return Job(job.source, job.source, f"{job.source} is an input twice: it is done once")
    reason = f"{first.source} and {job.source} would both become {job.target}: name them apart"
    return Job(job.source, job.source, reason)


def run(
    jobs: list[Job], work: Callable[[Job], Record], describe: Callable[[Record], str], batch: Batch
) -> None:
    """Does the jobs, a line for each. One that fails is said, and the rest go on; then the exit code is 1.

    A single job's error is raised, and so has an exit code of its own.
    """
    if any(STANDARD in (job.source, job.target) for job in jobs) and (batch.resume or batch.cluster):
        raise UsageError("--resume and --cluster need files that have names: - has none")
    if any(job.target == STANDARD for job in jobs):
        check_standard_output(batch)
    if batch.dry_run:
        for job in jobs:
            foretell(job, batch)
        return
    if len(jobs) == 1:
        [(_, outcome)] = outcomes(jobs, work, batch)
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
        for job, outcome in outcomes(jobs, work, batch):
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


def foretell(job: Job, batch: Batch) -> None:
    """Says what would be done."""
    would = job.refusal or f"{shown(job.source)} -> {shown(job.target)}"
    if not job.refusal and batch.resume and job.target.exists():
        would = f"{shown(job.target)}: {THERE}"
    record = {"input": str(job.source), "output": str(job.target), "refusal": job.refusal}
    typer.echo(json.dumps(record) if batch.as_json else would)


def summary(records: list[Record], failures: int) -> str:
    """What came of many files, in a line; sizes are those of the files that were made."""
    made = [record for record in records if "bytes_after" in record]
    before, after = (sum(record[key] for record in made) for key in ("bytes_before", "bytes_after"))
    there = f", {len(records) - len(made)} there already" if len(made) < len(records) else ""
    failed = f", {failures} failed" if failures else ""
    sizes = f"{readable_size(before)} -> {readable_size(after)}"
    return f"{len(made)} of {len(records) + failures} files: {sizes}{there}{failed}"


def check_standard_output(batch: Batch) -> None:
    """Raises UsageError where a file must not go to the standard output."""
    if batch.as_json:
        raise UsageError("--json and the file would both go to the standard output: name a file")
    if sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("the file would go to the terminal: name a file, or redirect the output")


def outcomes(
    jobs: list[Job], work: Callable[[Job], Record], batch: Batch
) -> Iterator[tuple[Job, Record | Exception]]:
    """Each job with its record or the error it ended with, as they come."""
    once, count = partial(attempt, work, batch.keeps), min(batch.jobs, len(jobs))
    if batch.cluster:
        yield from outcomes_on(batch.cluster, jobs, once)
        return
    if count == 1:
        for job in jobs:
            with Bar(batch.quiet).within_pictures():
                outcome = once(job)
            yield job, outcome
        return
    yield from outcomes_in(count, jobs, once)


def attempt(work: Callable[[Job], Record], keeps: bool, job: Job) -> Record | Exception:
    """The record of a job, or an error that was raised on purpose. What `keeps` an output is a record too."""
    from codec import AecodecError

    if job.refusal:
        return UsageError(job.refusal)
    left = {"input": str(job.source), "output": str(job.target), "notes": (THERE,)}
    if keeps and job.target.exists():
        return left
    try:
        return work(job)
    except (AecodecError, UsageError) as error:
        return left if keeps and isinstance(error.__cause__, FileExistsError) else error
    except MemoryError:
        return AecodecError(f"{job.source}: there is too little memory for it")


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
