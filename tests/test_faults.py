"""Whatever happens to disk, pipe or process: never half a file under the final name, never a traceback."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import aecodec
from aecodec.cli.batch import run
from aecodec.cli.files import TEMPORARY, write
from aecodec.cli.jobs import Batch, Job, Record
from aecodec.container import MAGIC, parse, read_file
from aecodec.encoder.options import TUNED
from aecodec.fields import CHUNK, MAX_FILE, MAX_VARINT_BYTES
from aecodec.model.registry import DIRECTORY, MORE_MODELS
from tests.common import ROOT, photograph
from tests.test_cli import refusal

KILLS = 12
SIZE = 2**22  # bytes of a file that takes a while to write
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]  # root ignores modes


@pytest.fixture(scope="module")
def data() -> bytes:
    """A learned file."""
    return aecodec.compress(photograph(150, 120), 70)


@pytest.fixture
def source(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "photo.aec"
    path.write_bytes(data)
    return path


def run_command(
    *arguments: object,
    before: list[str] | None = None,
    limit: Callable[[], None] | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """The command, perhaps as an argument of another, perhaps with a limit set in its process."""
    return subprocess.run(
        [*(before or []), sys.executable, "-m", "aecodec.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        preexec_fn=limit,
        timeout=120,
        check=False,
    )


def shell(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A script of the shell in which $AECODEC is the command and $1 the first argument."""
    environment = {**os.environ, "AECODEC": f"{sys.executable} -m aecodec.cli"}
    command = ["bash", "-c", script, "bash", *map(str, arguments)]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


@pytest.mark.parametrize("existing", [None, b"precious"])
def test_a_full_disk_leaves_what_was_there(source: Path, existing: bytes | None) -> None:
    target = source.with_suffix(".png")
    if existing:
        target.write_bytes(existing)
    refusal(run_command("decompress", source, target, "--force", limit=limit_files), 1, "cannot be written")
    assert names(source.parent) == ["photo.aec", *(["photo.png"] if existing else [])]
    if existing:
        assert target.read_bytes() == existing


def test_a_full_device_behind_the_standard_output(source: Path) -> None:
    for command in ("info $1", "decompress --json $1", "decompress $1 -"):
        refusal(shell(f"$AECODEC {command} > /dev/full", source), 1, "No space left")


def test_a_read_only_folder_is_said(source: Path) -> None:
    folder = source.parent / "closed"
    folder.mkdir(mode=0o500)
    before = UNPRIVILEGED if os.geteuid() == 0 else []
    refusal(run_command("decompress", source, folder / "a.png", before=before), 1, "Permission denied")
    assert names(folder) == []


def test_a_pipe_that_closes_early(source: Path) -> None:
    result = shell("$AECODEC decompress --json $1 | exec true; exit ${PIPESTATUS[0]}", source)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr


WRITE = f"""
import sys
from pathlib import Path
from aecodec.cli.batch import run
from aecodec.cli.jobs import Batch, Job, Record
from aecodec.cli.files import write
print("ready", flush=True)
for number in range(10**6):
    write(Path(sys.argv[1]), bytes([number % 256]) * {SIZE}, True)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a process that writes files of one repeated byte to `target`, again and again."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITE, str(tmp_path / "target")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def assert_whole(target: Path) -> None:
    """A file of SIZE equal bytes, or none yet."""
    if target.exists():
        content = target.read_bytes()
        assert content == content[:1] * SIZE


def test_a_kill_at_any_moment(tmp_path: Path, writer: Callable[[], subprocess.Popen[str]]) -> None:
    chance = random.Random(0)
    for _ in range(KILLS):
        process = writer()
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        process.wait()
        assert_whole(tmp_path / "target")
    assert {name[: len(TEMPORARY)] for name in names(tmp_path)} <= {TEMPORARY, "target"}


def test_concurrent_writers_leave_a_whole_file(
    tmp_path: Path, writer: Callable[[], subprocess.Popen[str]]
) -> None:
    for _ in range(3):
        writer()
    for _ in range(30):
        time.sleep(0.02)
        assert_whole(tmp_path / "target")


def test_of_concurrent_writers_without_force_one_wins(tmp_path: Path) -> None:
    target = tmp_path / "target"

    def attempt(number: int) -> str:
        try:
            write(target, bytes([number]) * SIZE, False)
        except aecodec.AecodecError as error:
            return str(error)
        return "won"

    with ThreadPoolExecutor(8) as pool:
        came = list(pool.map(attempt, range(8)))
    assert came.count("won") == 1
    assert sum("File exists" in text for text in came) == 7
    assert target.read_bytes() == bytes([came.index("won")]) * SIZE
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_writing_leaves_nothing(
    tmp_path: Path, data: bytes, number: signal.Signals
) -> None:
    script = (
        "import os, signal, aecodec.cli.files\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # jobs in the background ignore it
        "def interrupted(*_):\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "aecodec.cli.files.put_in_place = interrupted\n"
        "aecodec.cli.main()\n"
    )
    (tmp_path / "a.aec").write_bytes(data)
    command = [sys.executable, "-c", script, "decompress", str(tmp_path / "a.aec")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 128 + number, result.stderr
    assert "Traceback" not in result.stderr
    assert names(tmp_path) == ["a.aec"]


@pytest.mark.parametrize("force", [True, False])
def test_file_systems_without_links_are_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    target = tmp_path / "target"
    write(target, b"first", force)
    if force:
        write(target, b"second", force)
    else:
        with pytest.raises(aecodec.AecodecError, match="File exists"):
            write(target, b"second", force)
    assert target.read_bytes() == (b"second" if force else b"first")
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_modes_of_files_stay(tmp_path: Path, mode: int) -> None:
    target, fresh, other = tmp_path / "target", tmp_path / "fresh", tmp_path / "other"
    target.touch()
    target.chmod(mode)
    write(target, b"new", True)
    assert target.stat().st_mode & 0o777 == mode
    write(fresh, b"new", False)
    other.touch()
    assert fresh.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize("damage", ["changed", "missing", "closed", "no json"])
def test_a_tampered_model_is_refused(source: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "models"
    directory = Path(shutil.copytree(DIRECTORY / TUNED["psnr"], folder / "other"))
    graph = directory / "synthesis.onnx"
    if damage == "changed":
        graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    elif damage == "missing":
        graph.unlink()
    elif damage == "closed":
        graph.chmod(0)
    else:
        (directory / "manifest.json").write_text("{")
    before = UNPRIVILEGED if os.geteuid() == 0 else []
    arguments = ("compress", ROOT / "tests" / "golden" / "lossless-1.png", tmp_path / "a.aec")
    result = run_command(*arguments, "--model", "other", before=before, **{MORE_MODELS: str(folder)})
    refusal(result, 1, "reinstall it")
    assert not (tmp_path / "a.aec").exists()


def test_too_little_memory_is_said() -> None:
    def work(_: Job) -> Record:
        raise MemoryError

    with pytest.raises(aecodec.AecodecError, match="too little memory"):
        run([Job(Path("a"), Path("b"))], work, str, Batch())


def test_an_endless_input_is_refused_at_its_first_bytes(tmp_path: Path) -> None:
    refusal(
        shell("timeout 60 $AECODEC decompress /dev/zero $1", tmp_path / "a.png"), 3, "not an aecodec file"
    )
    refusal(shell("$AECODEC info - < /dev/zero"), 3, "not an aecodec file")


class Endless:
    """A file that begins in some way and goes on with ones without end."""

    def __init__(self, head: bytes) -> None:
        self.head, self.read_so_far = head, 0

    def read(self, count: int) -> bytes:
        part = self.head[self.read_so_far :][:count]
        self.read_so_far += count
        return part + b"\1" * (count - len(part))


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (b"", aecodec.VersionError, "version 0"),
        (b"\x11\1\1\0", aecodec.TrailingDataError, r"at least \d{7} bytes follow"),
        (b"\x11\1\1\xff\xff\x7f", aecodec.TrailingDataError, "bytes follow"),
        (b"\x11\1\1\xff\xff\xff\xff\x7f", aecodec.TruncatedError, "within the payload"),
    ],
)
def test_an_endless_file_of_ours_is_not_read_for_ever(
    monkeypatch: pytest.MonkeyPatch, fields: bytes, error: type[Exception], message: str
) -> None:
    monkeypatch.setattr("aecodec.fields.MAX_FILE", 2**22)
    endless = Endless(MAGIC + fields)
    data = read_file(endless)  # type: ignore[arg-type]
    assert endless.read_so_far <= 2**22 + 2 * CHUNK
    with pytest.raises(error, match=message):
        parse(data)


def test_a_file_may_have_a_payload_and_a_box_of_the_greatest_length() -> None:
    assert MAX_FILE == 2 * 2 ** (7 * MAX_VARINT_BYTES)
