"""A batch on a real cluster of Dask workers that die: nothing is lost and nothing is made twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from PIL import Image

import aecodec
from aecodec.cli.batch import SKIPPED, outcomes, run
from aecodec.cli.cluster import attempt_as, difference, installation
from aecodec.cli.embed import embed
from aecodec.cli.files import STANDARD_STREAM, UsageError, write
from aecodec.cli.jobs import Batch, Job, Record
from aecodec.cli.naming import COMPRESSED, plan
from aecodec.encoder.options import TUNED
from aecodec.model.registry import DIRECTORY, MORE_MODELS
from tests.common import ROOT, photograph
from tests.test_cli import refusal, run_command, run_process
from tests.test_embed import assert_embedded_alike

WORKERS, PICTURES = 3, 9
SETTINGS = {  # what makes deaths count where they happen, and twice enough
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
    "AECODEC_THREADS": "1",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The address of a scheduler, and the process whose children are its workers."""
    folder = tmp_path_factory.mktemp("cluster")
    scheduler_file, environment = folder / "scheduler.json", {**os.environ, **SETTINGS}
    start = [sys.executable, "-m"]
    common = ["--scheduler-file", str(scheduler_file), "--no-dashboard"]
    roles = (
        [*start, "distributed.cli.dask_scheduler", *common, "--host", "127.0.0.1", "--port", "0"],
        [*start, "distributed.cli.dask_worker", *common, "--nworkers", str(WORKERS), "--nthreads", "1"],
    )
    roles[1].extend(["--local-directory", str(folder)])
    with (folder / "log").open("w") as log:
        options = {"cwd": ROOT, "env": environment, "stdout": log, "stderr": log}
        processes = [subprocess.Popen(role, **options) for role in roles]  # type: ignore[call-overload]
        try:
            wait_until(lambda: scheduler_file.exists() and len(workers_of(processes[1].pid)) == WORKERS)
            yield json.loads(scheduler_file.read_text())["address"], processes[1].pid
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait()


def wait_until(condition: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def workers_of(process: int) -> list[psutil.Process]:
    children = psutil.Process(process).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of small pictures, each of its own width."""
    (tmp_path / "in").mkdir()
    for number in range(PICTURES):
        Image.fromarray(photograph(200 + number, 120)).save(tmp_path / "in" / f"{number:02}.png")
    return tmp_path


def test_a_worker_is_killed_midway(cluster: tuple[str, int], pictures: Path) -> None:
    address, workers = cluster
    arguments = ["compress", "-r", pictures / "in", "-d", pictures / "out", "--cluster", address, "--json"]
    command = [sys.executable, "-m", "aecodec.cli", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as batch:
        wait_until(lambda: any((pictures / "out").glob("*.aec")))
        os.kill(workers_of(workers)[0].pid, signal.SIGKILL)
        assert len(list((pictures / "out").glob("*.aec"))) < PICTURES
        stdout, stderr = batch.communicate(timeout=120)
    assert batch.returncode == 0, stderr
    inputs = sorted(Path(json.loads(line)["input"]).name for line in stdout.splitlines())
    assert inputs == [f"{number:02}.png" for number in range(PICTURES)]
    files = sorted((pictures / "out").glob("*.aec"))
    assert [aecodec.decompress(file.read_bytes()).size for file in files] == [
        (200 + n, 120) for n in range(PICTURES)
    ]
    files[3].unlink()
    times = {file: file.stat().st_mtime_ns for file in files if file.exists()}
    resumed = run_command(*arguments, "--resume")
    assert resumed.returncode == 0
    assert f"1 of {PICTURES} files" in resumed.stderr
    assert f"{PICTURES - 1} there already" in resumed.stderr
    assert files[3].exists()
    assert times == {file: file.stat().st_mtime_ns for file in times}


def test_vectors_of_a_cluster_are_those_of_one_process(cluster: tuple[str, int], pictures: Path) -> None:
    files = [pictures / "in" / f"{number:02}.png" for number in (2, 0, 1)]
    files[1].write_bytes(b"no picture")
    assert_embedded_alike(files, pictures, [[], ["--cluster", cluster[0]]])


def work_and_die(job: Job) -> Record:
    """Writes a file; its process dies before or after it did so once, or whenever it is tried."""
    deaths, fate = job.source.with_suffix(".deaths"), job.source.stem
    with deaths.open("a") as file:
        file.write("x")
    first = deaths.stat().st_size == 1
    if fate == "poison" or (fate == "early" and first):
        os.kill(os.getpid(), signal.SIGKILL)
    write(job.target, b"made", force=False)
    if fate == "late" and first:
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "odd" and first:
        raise RuntimeError("once")
    return {"output": str(job.target), "bytes_after": 4, "notes": ()}


def test_deaths_before_and_after_writing_and_always(cluster: tuple[str, int], tmp_path: Path) -> None:
    names = ("early", "late", "odd", "poison", *(f"sound{number}" for number in range(6)))
    jobs = [Job(tmp_path / f"{name}.png", tmp_path / f"{name}.aec") for name in names]
    outcomes_of_jobs = list(outcomes(jobs, work_and_die, Batch(cluster=cluster[0])))
    assert sorted(job.source.stem for job, _ in outcomes_of_jobs) == sorted(names)
    by_name = {job.source.stem: outcome for job, outcome in outcomes_of_jobs}
    poisoned = by_name.pop("poison")
    assert isinstance(poisoned, aecodec.AecodecError)
    assert "not done by the cluster: KilledWorker" in str(poisoned)
    notes = {name: outcome["notes"] for name, outcome in by_name.items() if isinstance(outcome, dict)}
    assert notes["late"] == notes["odd"] == (SKIPPED,)
    assert set(notes.values()) <= {(), (SKIPPED,)}  # what a worker did not tell before it died is done again
    assert {path.stem for path in tmp_path.glob("*.aec")} == set(by_name)


def test_one_picture_has_its_own_exit_code(cluster: tuple[str, int], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    refusal(
        run_command("compress", tmp_path / "bad.png", "--cluster", cluster[0]), 1, "bad.png: not a picture"
    )


def test_workers_of_other_models_are_refused_by_name(
    cluster: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(DIRECTORY / TUNED["psnr"], tmp_path / "models" / "mine")
    Image.fromarray(photograph(20, 20)).save(tmp_path / "a.png")
    monkeypatch.setenv(MORE_MODELS, str(tmp_path / "models"))
    result = run_process("compress", tmp_path / "a.png", "--cluster", cluster[0])  # which reads models anew
    refusal(result, 2, "tcp://127.0.0.1:", "has model mine missing (here ", "install the same release there")
    assert result.stderr.count("has model mine missing") == WORKERS
    assert not (tmp_path / "a.aec").exists()


def test_a_worker_of_another_release_does_nothing(tmp_path: Path) -> None:
    job, ours = Job(tmp_path / "a.png", tmp_path / "a.aec"), {**installation(), "release": "9.0"}
    outcome = attempt_as(ours, work_and_die, job)
    assert f"a worker has release {aecodec.__version__} (here 9.0)" in str(outcome)
    assert list(tmp_path.iterdir()) == []
    assert difference({**installation(), "model of theirs": "00000000"}, installation()) == ""


def test_what_a_cluster_cannot_do_is_said(tmp_path: Path) -> None:
    job, address = Job(tmp_path / "a.png", tmp_path / "a.aec"), "tcp://no.such.host:1"
    with pytest.raises(UsageError, match="no scheduler answers there"):
        list(outcomes([job], work_and_die, Batch(cluster=address)))
    with pytest.raises(UsageError, match="leave out --jobs"):
        plan([job.source], COMPRESSED, ".png", Batch(cluster=address, jobs=2))
    with pytest.raises(UsageError, match="leave out --jobs"):
        embed([job.source], duplicates=True, cluster=address, jobs=2)
    with pytest.raises(UsageError, match="- has none"):
        run([replace(job, target=STANDARD_STREAM)], work_and_die, str, Batch(cluster=address))


def test_a_missing_extra_names_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(aecodec.MissingExtraError, match=r"pip install 'aecodec\[cluster\]'"):
        list(outcomes([Job(Path("a.png"), Path("a.aec"))], work_and_die, Batch(cluster="tcp://host:1")))


def test_resume_and_force_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="give one"):
        plan([Path("a.png")], COMPRESSED, ".png", Batch(resume=True, force=True))
