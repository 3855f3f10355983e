"""Which files a command reads and writes. A picture is an output only if --output names it."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from operator import methodcaller
from pathlib import Path

from aecodec.cli.files import (
    STANDARD_STREAM,
    SUFFIX,
    UsageError,
    check_folder,
    choose_output,
    first_bytes,
    identity,
)
from aecodec.cli.jobs import CLUSTER_OR_JOBS, Batch, Job
from aecodec.container import MAGIC
from aecodec.signatures import READABLE_SUFFIXES, is_picture


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a command reads."""

    suffixes: frozenset[str]
    recognise: Callable[[bytes], bool]  # by the first bytes of a file
    pairs: bool = False  # outputs look like inputs


PICTURES = Inputs(frozenset(READABLE_SUFFIXES), is_picture)
PICTURES_TO_PICTURES = replace(PICTURES, pairs=True)
COMPRESSED = Inputs(frozenset({SUFFIX}), methodcaller("startswith", MAGIC))  # files of ours


@dataclass(frozen=True, slots=True)
class InputFile:
    """An input file. `inside` is the path of its output below --output-dir.

    `failure` says why it is unreadable.
    """

    source: Path
    inside: Path
    failure: str = ""


def plan(paths: list[Path], inputs: Inputs, suffix: str, batch: Batch) -> list[Job]:
    """The jobs for IN... and perhaps OUT; raises UsageError for paths or options that do not fit together.

    An output whose name is derived from that of its input gets `suffix`.
    """
    if batch.output and batch.output_dir:
        raise UsageError("--output names a file, --output-dir a folder: give one")
    if batch.resume and batch.force:
        raise UsageError("--resume leaves outputs that exist, --force overwrites them: give one")
    if batch.cluster and batch.jobs > 1:
        raise UsageError(CLUSTER_OR_JOBS)
    try:
        sources, output = split_output(paths, inputs, batch)
        if STANDARD_STREAM in sources and (len(sources) > 1 or batch.output_dir):
            raise UsageError("- stands for one picture and goes alone: name files, or run it by itself")
        if batch.output_dir:
            check_folder(batch.output_dir, create=True)
        if len(sources) == 1 and (sources[0] == STANDARD_STREAM or not sources[0].is_dir()):
            file = InputFile(sources[0], Path(sources[0].name))
            return [job_of(file, output, inputs, suffix, batch)]
        return plan_many(sources, output, inputs, suffix, batch)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error


def plan_many(
    sources: list[Path], output: Path | None, inputs: Inputs, suffix: str, batch: Batch
) -> list[Job]:
    """The jobs for several files and folders; raises UsageError and OSError."""
    files = [file for path in sources for file in expand(path, inputs, batch)]
    if not files:
        wanted = " ".join(sorted(inputs.suffixes))
        raise UsageError(f"{', '.join(map(str, sources))}: nothing in there has a suffix of {wanted}")
    if output is not None and len(files) > 1:
        raise UsageError(f"{output} would be the output of {len(files)} inputs: name a folder with -d")
    if len(files) == 1 and not files[0].failure:
        return [job_of(files[0], output, inputs, suffix, batch)]
    return distinct([planned(file, inputs, suffix, batch) for file in files])


def split_output(paths: list[Path], inputs: Inputs, batch: Batch) -> tuple[list[Path], Path | None]:
    """The inputs IN... and the output OUT.

    OUT is --output, or the second of two names if no picture has that name. With --output or --output-dir
    every name is an input. A name that stands twice is both IN and OUT. Raises UsageError for a second name
    that may be an input or an output.
    """
    if batch.output is not None or batch.output_dir is not None or len(paths) != 2:
        return paths, batch.output
    first, second = paths
    if second == STANDARD_STREAM or first == second:
        return [first], second
    if second.is_dir():
        return paths, None
    if not os.path.lexists(second):
        if second.suffix.lower() in inputs.suffixes and not inputs.pairs:
            raise UsageError(f"{second} does not exist: name inputs that do, or an output with -o")
        return [first], second
    if is_input(second, inputs) and not inputs.pairs:
        return paths, None
    if not batch.resume:  # which overwrites no picture
        check_overwritable(second)
    return [first], second


def check_overwritable(second: Path) -> None:
    """Raises UsageError for a second name that is a picture, by its bytes."""
    if is_picture(first_bytes(second)):
        raise UsageError(
            f"{second} is a picture, which a second name never overwrites: "
            "name it with -o and -f to do so, or a folder with -d if it is an input"
        )


def is_input(path: Path, inputs: Inputs) -> bool:
    """Whether an existing file is an input, by its suffix or its first bytes."""
    return path.suffix.lower() in inputs.suffixes or inputs.recognise(first_bytes(path))


def expand(path: Path, inputs: Inputs, batch: Batch) -> Iterator[InputFile]:
    """A file, or the inputs below a folder, by name."""
    if path == STANDARD_STREAM or not path.is_dir():
        yield InputFile(path, Path(path.name))
        return
    if not batch.recursive:
        raise UsageError(f"{path} is a directory: pass --recursive to read it, --output-dir to write into it")
    left_out = batch.output_dir if inputs.pairs else None  # or a second run would read what the first wrote
    yield from sorted(search(path, inputs, left_out), key=lambda file: file.source)


def search(folder: Path, inputs: Inputs, left_out: Path | None = None) -> Iterator[InputFile]:
    """The inputs below a folder, without those in the folder `left_out`, and entries that cannot be read."""
    unreadable: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unreadable.append):
        if left_out is not None:
            folders[:] = [
                subfolder for subfolder in folders if not same_folder(Path(parent, subfolder), left_out)
            ]
        for path in (Path(parent, name) for name in names):
            file = InputFile(path, path.relative_to(folder))
            try:
                if is_worth_reading(path, inputs):
                    yield file
            except OSError as error:
                yield replace(file, failure=f"{path}: cannot be read: {error.strerror}")
    for reason in unreadable:
        path = Path(reason.filename)
        yield InputFile(path, Path(path.name), f"{path}: the folder cannot be read: {reason.strerror}")


def is_worth_reading(path: Path, inputs: Inputs) -> bool:
    """Whether a file in a folder is an input: by its suffix, or without a suffix by its first bytes.

    A broken link with such a suffix counts too, so that it is reported as a failure.
    """
    if path.suffix.lower() in inputs.suffixes:
        return path.is_file() or (path.is_symlink() and not path.exists())
    return not path.suffix and inputs.recognise(first_bytes(path))


def same_folder(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def planned(file: InputFile, inputs: Inputs, suffix: str, batch: Batch) -> Job:
    """One job of many. If its output must not be written, the job carries that as its refusal."""
    if file.failure:
        return Job(file.source, file.source, file.failure)
    try:
        return job_of(file, None, inputs, suffix, batch)
    except UsageError as error:
        return Job(file.source, file.source, str(error))


def job_of(file: InputFile, output: Path | None, inputs: Inputs, suffix: str, batch: Batch) -> Job:
    """The job of one input; raises UsageError where its output must not be written."""
    if output is None and file.source == STANDARD_STREAM:
        output = STANDARD_STREAM
    elif output is None:
        beside = batch.output_dir / file.inside if batch.output_dir else file.source
        output = derived(beside, inputs, suffix)
    create = batch.output_dir is not None
    target = choose_output(file.source, output, batch.force or batch.resume, create)
    return Job(file.source, target, force=batch.force)


def derived(path: Path, inputs: Inputs, suffix: str) -> Path:
    """A name with another suffix. It replaces a suffix of inputs and is appended to any other name."""
    if path.suffix.lower() in inputs.suffixes:
        return path.with_suffix(suffix)
    return path.with_name(path.name + suffix)


def distinct(jobs: list[Job]) -> list[Job]:
    """The jobs. A job whose output is an input or output of another job is refused."""
    first_jobs: dict[Path, Job] = {}
    sources = {identity(job.source) for job in jobs}
    return [
        job
        if job.refusal
        else refused(job, first_jobs.setdefault(Path(os.path.realpath(job.target)), job), sources)
        for job in jobs
    ]


def refused(job: Job, first_job: Job, sources: set[Hashable]) -> Job:
    """The job; refused if another job is the first with this output, or if the output is an input."""
    if first_job is not job and first_job.source == job.source:
        reason = f"{job.source} is an input twice: it is done once"
    elif first_job is not job:
        reason = f"{first_job.source} and {job.source} would both become {job.target}: name them apart"
    elif identity(job.target) in sources:
        reason = f"{job.source} would overwrite {job.target}, which is an input: name another folder"
    else:
        return job
    return Job(job.source, job.source, reason)
