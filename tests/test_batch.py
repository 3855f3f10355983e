"""Many files at once: what is read and written, what is said, and what happens when one of them fails."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer, main_thread

import numpy as np
import psutil
import pytest
from PIL import Image, ImageChops

import aecodec
from aecodec.cli.batch import outcomes
from aecodec.cli.files import UsageError
from aecodec.cli.jobs import Batch, Job
from aecodec.cli.naming import PICTURES, plan
from tests.common import make_exif, make_icc, photograph
from tests.test_cli import refusal, run_command
from tests.test_cluster import wait_until, workers_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one of them in a folder below, a text and a file that is no picture."""
    (tmp_path / "in" / "below").mkdir(parents=True)
    Image.fromarray(photograph(60, 50)).save(tmp_path / "in" / "a.png")
    Image.fromarray(photograph(50, 60)).save(tmp_path / "in" / "below" / "b.jpg")
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    return tmp_path


def pairs(paths: list[Path], batch: Batch | None = None) -> list[tuple[str, str]]:
    jobs = plan(paths, PICTURES, ".aec", batch or Batch())
    return [(job.source.name, job.target.name) for job in jobs]


def test_folders_need_recursive(folder: Path) -> None:
    with pytest.raises(UsageError, match="--recursive"):
        pairs([folder / "in"])
    assert pairs([folder / "in"], Batch(recursive=True)) == [("a.png", "a.aec"), ("b.jpg", "b.aec")]


def test_output_dir_keeps_folders(folder: Path) -> None:
    batch = Batch(recursive=True, output_dir=folder / "out")
    jobs = plan([folder / "in"], PICTURES, ".aec", batch)
    assert [job.target for job in jobs] == [folder / "out" / "a.aec", folder / "out" / "below" / "b.aec"]
    jobs = plan([folder / "in" / "a.png", folder / "b.bin"], PICTURES, ".aec", batch)
    assert [job.target.name for job in jobs] == ["a.aec", "b.bin.aec"]  # with -d every name is an input
    with pytest.raises(UsageError, match="give one"):
        pairs([folder / "in"], Batch(output_dir=folder / "out", output=folder / "b.aec"))


def test_the_second_of_two_inputs_that_would_become_one_file_is_refused(folder: Path) -> None:
    Image.fromarray(photograph(50, 60)).save(folder / "in" / "a.bmp")
    result = run_command("compress", "-r", folder / "in", "-d", folder / "out")
    assert result.returncode == 1
    assert "a.bmp and" in result.stderr
    assert "a.png would both become" in result.stderr
    assert "2 of 3 files" in result.stderr
    assert aecodec.info((folder / "out" / "a.aec").read_bytes()).width == 50
    assert (folder / "out" / "below" / "b.aec").exists()


def test_an_input_given_twice_is_done_once(folder: Path) -> None:
    source = folder / "in" / "a.png"
    result = run_command("compress", source, source, "-d", folder / "out")
    assert result.returncode == 1
    assert f"aecodec: {source} is an input twice" in result.stderr
    assert "1 of 2 files" in result.stderr


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bad_file_is_said_and_the_rest_done(folder: Path, jobs: int) -> None:
    (folder / "in" / "bad.png").write_bytes(b"no picture")
    result = run_command("compress", "-r", folder / "in", "-d", folder / "out", "-j", jobs, "--json")
    assert result.returncode == 1
    assert "bad.png" in result.stderr
    assert "2 of 3 files" in result.stderr
    assert "1 failed" in result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted("error" in record for record in records) == [False, False, True]
    written = sorted(path.name for path in (folder / "out").rglob("*") if path.is_file())
    assert written == ["a.aec", "b.aec"]
    back = run_command(
        "decompress", "-r", folder / "out", "-d", folder / "back", "--format", "webp", "-j", jobs
    )
    assert back.returncode == 0, back.stderr
    with Image.open(folder / "back" / "below" / "b.webp") as image:
        assert image.size == (50, 60)


@pytest.mark.parametrize(("command", "code"), [("compress", 1), ("decompress", 3), ("info", 3)])
def test_a_single_bad_file_has_its_line_of_json(tmp_path: Path, command: str, code: int) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    result = run_command(command, tmp_path / "bad.png", "--json")
    assert result.returncode == code
    record = json.loads(result.stdout)
    assert record["input"] == str(tmp_path / "bad.png")
    assert result.stderr == f"aecodec: {record['error']}\n"


def test_outputs_that_exist_are_kept_and_the_rest_is_done(folder: Path) -> None:
    (folder / "in" / "a.aec").write_bytes(b"precious")
    result = run_command("compress", "-r", folder / "in")
    assert result.returncode == 1
    assert "exists" in result.stderr
    assert (folder / "in" / "a.aec").read_bytes() == b"precious"
    assert (folder / "in" / "below" / "b.aec").exists()


def test_what_makes_no_sense_is_refused_before_anything_is_done(folder: Path) -> None:
    source, out = folder / "in" / "a.png", folder / "out"
    (folder / "empty").mkdir()
    refusal(run_command("compress", "-r", folder / "empty"), 2, "nothing in there")
    for below in ("notes.txt", "notes.txt/out"):
        result = run_command("compress", "-r", folder / "in", "-d", folder / "in" / below)
        refusal(result, 2, "notes.txt is a file: name a folder")
    refusal(run_command("compress", source, folder / "in" / "notes.txt" / "x.aec"), 2, "notes.txt is a file")
    refusal(run_command("compress", "-", source), 2, "goes alone")
    refusal(run_command("compress", "-", "-d", out), 2, "goes alone")
    refusal(run_command("compress", source, "x" * 300), 2, "too long")
    refusal(run_command("compress", source, "-d", out, "--strip", "gpx"), 2, "choose of")
    refusal(run_command("decompress", "-", "--format", "xyz"), 2, "choose of")
    refusal(run_command("compress", source, "-", "--json"), 2, "--json")
    assert not out.exists()


def test_a_missing_standard_input_is_said(folder: Path) -> None:
    command = f"{sys.executable} -m aecodec.cli compress - {folder / 'out.aec'} <&-"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1


def work_slowly(job: Job) -> dict[str, object]:
    if job.source.name == "dies.png":
        os.abort()
    time.sleep(0.2)
    return {"input": str(job.source)}


def test_a_process_that_dies_is_a_failure_of_its_files() -> None:
    jobs = [Job(Path(name), Path("x")) for name in ("dies.png", "a.png", "b.png")]
    outcome_of = dict(outcomes(jobs, work_slowly, Batch(jobs=2)))
    assert "a process died" in str(outcome_of[jobs[0]])
    assert len(outcome_of) == 3


def work_and_leave_a_mark(job: Job) -> dict[str, object]:
    job.target.touch()
    return work_slowly(job)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT interrupts, which a shell's background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_batch_after_the_files_in_work(tmp_path: Path) -> None:
    jobs = [Job(Path(f"{n}.png"), tmp_path / f"{n}.aec") for n in range(20)]
    interrupt = Timer(0.1, signal.pthread_kill, [main_thread().ident, signal.SIGINT])
    said: list[Path] = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        for job, _ in outcomes(jobs, work_and_leave_a_mark, Batch(jobs=2)):
            if not said:
                interrupt.start()
            said.append(job.target)
    assert sorted(said) == sorted(tmp_path.iterdir())
    assert len(said) < 10


@pytest.fixture
def batch_in_processes(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A batch of six pictures in a session of its own, and two processes that were just started for it."""
    for number in range(6):
        Image.fromarray(photograph(300 + number, 300)).save(tmp_path / f"{number}.png")
    program = (
        "import signal; from aecodec.cli import main;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # jobs in the background ignore it
        "main()"
    )
    command = [sys.executable, "-c", program, "compress", *map(str, tmp_path.glob("*.png")), "-j2", "-e1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as batch:
        wait_until(lambda: len(workers_of(batch.pid)) == 2)
        workers = workers_of(batch.pid)
        try:
            yield batch, workers
        finally:
            for process in (batch, *psutil.wait_procs(workers, 0)[1]):
                process.kill()


@pytest.mark.parametrize("presses", [1, 3])
def test_interrupts_leave_the_files_in_work_their_time(
    batch_in_processes: tuple[subprocess.Popen[str], list[psutil.Process]], presses: int
) -> None:
    batch, workers = batch_in_processes
    for _ in range(presses):
        os.killpg(batch.pid, signal.SIGINT)
        time.sleep(0.3)
    _, stderr = batch.communicate(timeout=60)
    assert batch.returncode == 130
    assert [" kB -> " in line for line in stderr.splitlines() if line] == [True, True], stderr
    assert psutil.wait_procs(workers, 10)[1] == []


def test_a_terminal_that_closes_leaves_the_files_in_work_their_time(
    batch_in_processes: tuple[subprocess.Popen[str], list[psutil.Process]],
) -> None:
    batch, workers = batch_in_processes
    os.killpg(batch.pid, signal.SIGHUP)  # it sends it to all
    _, stderr = batch.communicate(timeout=60)
    assert batch.returncode == 128 + signal.SIGHUP
    assert [" kB -> " in line for line in stderr.splitlines() if line] == [True, True], stderr
    assert psutil.wait_procs(workers, 10)[1] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_processes_end_with_the_one_that_started_them(
    batch_in_processes: tuple[subprocess.Popen[str], list[psutil.Process]], number: signal.Signals
) -> None:
    batch, workers = batch_in_processes
    batch.send_signal(number)
    batch.communicate(timeout=60)
    assert batch.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert psutil.wait_procs(workers, 30)[1] == []


def test_dry_run_does_nothing(folder: Path) -> None:
    result = run_command("compress", "-r", folder / "in", "-d", folder / "out", "--dry-run")
    assert result.returncode == 0
    assert result.stdout.count(" -> ") == 2
    assert not (folder / "out").exists()


def test_a_dry_run_ends_as_the_run_does(folder: Path) -> None:
    picture, missing = folder / "in" / "a.png", folder / "in" / "missing.png"
    (folder / "out").mkdir()
    (folder / "out" / "a.aec").touch()
    Image.fromarray(photograph(50, 60)).save(folder / "in" / "c.png")
    refusal(
        run_command("compress", missing, "--dry-run"), 1, f"aecodec: {missing}: cannot be read: No such file"
    )
    for more in ([], ["--force"], [missing, "--force"], ["--resume"], [missing]):
        command = ("compress", picture, folder / "in" / "c.png", "-d", folder / "out", *more)
        foreseen = run_command(*command, "--dry-run", "--json")
        done = run_command(*command, "--json")
        assert foreseen.returncode == done.returncode == (1 if missing in more or not more else 0)
        refused = [json.loads(line)["refusal"] for line in foreseen.stdout.splitlines()]
        failed = [json.loads(line).get("error", "") for line in done.stdout.splitlines()]
        assert sorted(refused) == sorted(failed)
        assert [f"aecodec: {text}" for text in refused if text] == foreseen.stderr.splitlines()


def test_pipes(folder: Path) -> None:
    command = [sys.executable, "-m", "aecodec.cli"]
    picture = (folder / "in" / "a.png").read_bytes()
    packed = subprocess.run([*command, "compress", "-"], input=picture, capture_output=True, check=True)
    assert aecodec.info(packed.stdout).width == 60
    back = subprocess.run(
        [*command, "decompress", "-", "-", "--format", "bmp"],
        input=packed.stdout,
        capture_output=True,
        check=True,
    )
    with Image.open(io.BytesIO(back.stdout)) as image:
        assert (image.format, image.size) == ("BMP", (60, 50))


def test_a_pipe_that_closes_early_is_an_error_of_one_line(folder: Path) -> None:
    compress = f"{sys.executable} -m aecodec.cli compress --quiet {folder / 'in' / 'a.png'} -"
    command = f"{compress} | true; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert result.stdout.strip() in ("0", "1")  # 0 where the pipe took all before it closed
    assert result.stderr.count("\n") <= 1


def test_strip_and_keep_times(folder: Path) -> None:
    source = folder / "in" / "c.png"
    Image.fromarray(photograph(40, 40)).save(source, exif=make_exif(), icc_profile=make_icc())
    os.utime(source, (1e9, 1e9))
    assert run_command("compress", source, "--strip", "exif", "--keep-times").returncode == 0
    target = source.with_suffix(".aec")
    assert set(aecodec.info(target.read_bytes()).metadata) == {"icc"}
    assert target.stat().st_mtime == 1e9
    assert run_command("compress", source, "--strip", "all", "-f").returncode == 0
    assert not aecodec.info(target.read_bytes()).metadata
    refusal(run_command("compress", source, "--strip", "gpx", "-f"), 2, "choose of")


def test_what_is_not_kept_is_noted(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8)).save(tmp_path / "inks.jpg")
    result = run_command("compress", tmp_path / "inks.jpg", "--json")
    assert json.loads(result.stdout)["notes"] == [
        "CMYK without an ICC profile became RGB by a formula: colours may differ"
    ]
    assert "inks.aec: CMYK without" in result.stderr
    Image.new("L", (8, 8)).save(tmp_path / "profiled.png", icc_profile=make_icc())
    assert run_command("compress", tmp_path / "profiled.png").returncode == 0
    result = run_command("decompress", tmp_path / "profiled.aec", tmp_path / "plain.bmp")
    assert "plain.bmp: BMP holds no ICC: left out" in result.stderr


def test_targets_on_the_command_line(folder: Path) -> None:
    source, target = folder / "in" / "a.png", folder / "in" / "a.aec"
    assert run_command("compress", source, "--max-bytes", 600).returncode == 0
    assert target.stat().st_size <= 600
    refusal(run_command("compress", source, "-f", "--max-bytes", 10), 5, "out of reach")
    refusal(run_command("compress", source, "-f", "--bpp", 1, "--lossless"), 2, "exclude each other")
    assert run_command("compress", source, "-f", "--lossless").returncode == 0
    assert aecodec.info(target.read_bytes()).coding == "lossless"


@pytest.mark.parametrize("option", ["--psnr=0", "--psnr=nan", "--psnr=inf", "--bpp=0", "--bpp=nan", "-qnan"])
def test_what_is_no_target_is_wrong_usage(option: str) -> None:
    refusal(run_command("compress", "x.png", option), 2)


def test_regions(folder: Path) -> None:
    source, packed = folder / "in" / "a.png", folder / "in" / "a.aec"
    assert run_command("compress", source, packed).returncode == 0
    assert run_command("decompress", packed, folder / "part.png", "--region", "10,5,30,20").returncode == 0
    with Image.open(folder / "part.png") as part, aecodec.decompress(packed.read_bytes()) as full:
        assert part.size == (30, 20)
        difference = ImageChops.difference(part, full.crop((10, 5, 40, 25)))
        assert np.asarray(difference).max() <= 1
    refusal(
        run_command("decompress", packed, folder / "x.png", "--region", "50,0,20,20"), 2, "not inside 60x50"
    )
    for region in ("1,2,3", "-1,0,5,5", "0,0,0,5", "0,0,5,-5"):
        result = run_command("decompress", packed, folder / "x.png", f"--region={region}")
        refusal(result, 2, f"--region {region}: give left,top,width,height")
