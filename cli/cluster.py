"""Runs the jobs of a batch on the workers of a Dask cluster, also if workers die meanwhile.

Workers need this release of aecodec with the same models, and the files under the same names. Another worker
repeats a job whose worker died, until the scheduler's limit of deaths is reached (`allowed-failures`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from aecodec.cli.files import UsageError

if TYPE_CHECKING:
    from aecodec.cli.jobs import Job, Record

# Repetitions of a job after an unexpected error. A passing fault of a worker, such as a full memory, often
# needs one; more would delay the report of a real fault.
RETRIES = 2
# Seconds to wait for a scheduler and its first worker. Less fails while a cluster starts; more delays the
# error for a wrong address.
PATIENCE = 10


def outcomes_on(
    address: str, jobs: list[Job], attempt: Callable[[Job], Record | Exception]
) -> Iterator[tuple[Job, Record | Exception]]:
    """Each job with its outcome, in the order in which the workers of the scheduler at an address finish.

    Raises UsageError if no scheduler or no worker answers, or if a worker has another release or other
    models, and MissingExtraError without the extra `cluster`.
    """
    client = connect(address)
    from distributed import as_completed

    try:
        absolute_jobs = [
            replace(job, source=job.source.absolute(), target=job.target.absolute()) for job in jobs
        ]  # workers have folders of their own
        check_workers(client, address)
        attempt_job = partial(attempt_as, installation(), attempt)
        futures = dict(
            zip(client.map(attempt_job, absolute_jobs, pure=False, retries=RETRIES), jobs, strict=True)
        )
        for future in as_completed(futures, loop=client.loop):
            job = futures.pop(future)  # or the cluster would keep what came of it
            yield job, outcome_of(future, job)
    finally:
        client.close()  # what has not begun is dropped


def connect(address: str) -> Any:
    """A client of the scheduler at an address; raises the errors of `outcomes_on`."""
    try:
        from distributed import Client
        from distributed.comm import resolve_address
    except ImportError as error:
        from aecodec import MissingExtraError

        raise MissingExtraError(f"{error}: run pip install 'aecodec[cluster]'") from error

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its errors become ours
    try:
        client = Client(resolve_address(address), timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--cluster {address}: no scheduler answers there: start `dask scheduler`"
        ) from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        client.close()
        raise UsageError(f"--cluster {address}: it has no worker: start `dask worker {address}`") from error
    return client


@cache
def installation() -> dict[str, str]:
    """The release of this process, and the fingerprints of its models and stages, by name."""
    import aecodec
    from aecodec.model.registry import list_models, read_manifest
    from aecodec.restoration import networks

    models = {f"model {path.name}": str(read_manifest(path)["fingerprint"]) for path in list_models()}
    stages = {f"stage {name}": networks.fingerprint(name).hex() for name in networks.read_manifest()}
    return {"release": aecodec.__version__, **models, **stages}


def difference(worker_installation: dict[str, str], local_installation: dict[str, str]) -> str:
    """The parts of our installation that a worker lacks or has differently. The worker may have more."""
    differing = {
        name: worker_installation.get(name, "missing")
        for name, value in local_installation.items()
        if worker_installation.get(name) != value
    }
    return ", ".join(f"{name} {value} (here {local_installation[name]})" for name, value in differing.items())


def check_workers(client: Any, address: str) -> None:
    """Raise UsageError, naming the workers, if the installation of any differs from that of this process."""
    differences = []
    for worker, worker_installation in client.run(installation, on_error="return").items():
        text = (
            str(worker_installation)
            if isinstance(worker_installation, Exception)
            else difference(worker_installation, installation())
        )
        differences += [f"{worker} has {text}"] if text else []
    if differences:
        raise UsageError(f"--cluster {address}: {'; '.join(differences)}: install the same release there")


def attempt_as(
    local_installation: dict[str, str], attempt: Callable[[Job], Record | Exception], job: Job
) -> Record | Exception:
    """The outcome of an attempt on a worker.

    A worker that joined late is checked for its installation here.
    """
    from aecodec import AecodecError

    if text := difference(installation(), local_installation):
        return AecodecError(f"{job.source}: a worker has {text}: install the same release there")
    return attempt(job)


def outcome_of(future: Any, job: Job) -> Record | Exception:
    """What the worker returned, or an error saying that no worker did the job."""
    from aecodec import AecodecError

    try:
        outcome: Record | Exception = future.result()
    except Exception as error:  # whatever the worker's code or the cluster raised
        return AecodecError(f"{job.source}: not done by the cluster: {type(error).__name__}: {error}")
    return outcome
