"""Jobs of a command: which file becomes which, and how all of them are treated."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aecodec import AecodecError

Record = dict[str, Any]  # what came of one file, as --json prints it
CLUSTER_OR_JOBS = "--cluster has as many jobs at a time as workers: leave out --jobs"


@dataclass(frozen=True, slots=True)
class Job:
    """One file to make. STANDARD_STREAM is a standard stream.

    `refusal` says why the file must not be made.
    """

    source: Path
    target: Path
    refusal: str = ""
    force: bool = False  # overwrite the target


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
    output: Path | None = None  # of the only input

    @property
    def skips_existing(self) -> bool:
        """Whether existing outputs may be done: by an earlier run, or by a worker that died after writing."""
        return self.resume or (self.cluster is not None and not self.force)


def unexpected(job: Job, error: Exception) -> AecodecError:
    """The error of a job that hit a fault of the program, with the file and line of that fault."""
    from aecodec.errors import AecodecError, one_line

    place = traceback.extract_tb(error.__traceback__)[-1]
    position = f"{Path(place.filename).name}, line {place.lineno}"
    fault = one_line(f"{type(error).__name__}: {error}")
    remedy = "please report it, with the file if you can"
    return AecodecError(f"{job.source}: a fault of aecodec ({fault}, in {position}): {remedy}")
