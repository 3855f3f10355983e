"""How far a command has come is shown for large pictures, on a terminal, unless it is to be quiet."""

from __future__ import annotations

import doctest
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from aecodec import compress, progress
from aecodec.cli.progress import LONG, Bar
from aecodec.container import CELL
from aecodec.model.tiling import ANALYSIS_CORE, CORE, tiles
from aecodec.progress import as_part_of_passes, progress_listener, track
from tests.common import photograph
from tests.test_cli import run_command

LARGE = (LONG - 1) * CORE * CELL + 1, CELL  # pixels (W, H): as few as have as many tiles
ANALYSED = -(-LARGE[0] // (ANALYSIS_CORE * CELL))  # tiles, which are smaller


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.png"
    Image.fromarray(photograph(*LARGE)).save(path)
    return path


def said_on_terminal(*arguments: object) -> str:
    """What a command that succeeds writes to its standard error if that is a terminal."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "aecodec.cli", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    said = b""
    try:
        while part := os.read(leader, 4096):
            said += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(leader)
    assert process.wait() == 0, said
    return said.decode()


def bars_of(said: str) -> list[tuple[str, int, int]]:
    """The task of each bar that was drawn, the tiles done, and of how many."""
    return [(task, int(done), int(of)) for task, done, of in re.findall(r"\] (\w+) (\d+)/(\d+)", said)]


def passes(**tiles_of: int) -> list[tuple[str, int, int]]:
    return [(task, done, of) for task, of in tiles_of.items() for done in range(1, of + 1)]


def test_examples_of_the_documentation() -> None:
    results = doctest.testmod(progress)
    assert results.attempted > 0
    assert results.failed == 0


def test_nothing_is_reported_after_the_listener_ends() -> None:
    seen: list[tuple[str, int, int]] = []
    with progress_listener(lambda *report: seen.append(report)):
        assert len(list(track("first", tiles(2, 2, 1, 0)))) == 4
    assert len(list(track("second", tiles(2, 2, 1, 0)))) == 4
    assert seen == [("first", done, 4) for done in (1, 2, 3, 4)]


def test_passes_of_one_kind_are_reported_as_one() -> None:
    seen: list[tuple[str, int, int]] = []
    with progress_listener(lambda *report: seen.append(report)):
        for number in range(3):
            with as_part_of_passes("each", number, 3):
                assert len(list(track("each", tiles(1, 2, 1, 0)))) == 2
                assert len(list(track("other", tiles(1, 2, 1, 0)))) == 2
    assert seen == [("each", done, 6) for done in range(1, 7)]
    with as_part_of_passes("each", 0, 2):  # nobody listens
        assert len(list(track("each", tiles(1, 2, 1, 0)))) == 2


def test_the_end_of_a_long_pass_is_foreseen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Bar, "visible", True)
    clock = iter(range(0, 1000, 25))
    monkeypatch.setattr("aecodec.cli.progress.time.monotonic", lambda: next(clock))
    with Bar(quiet=False).within_pictures():
        list(track("refining", range(20)))
    said = capsys.readouterr().err
    assert re.findall(r"(\d+)/20, ([\d:]+) left", said)[:2] == [("2", "0:07:30"), ("3", "0:07:05")]
    assert "20/20\r" in said


def test_all_steps_of_a_descent_are_one_pass() -> None:
    seen: list[tuple[str, int, int]] = []
    with progress_listener(lambda *report: seen.append(report)):
        compress(photograph(100, 80), effort=5)
    assert [report for report in seen if report[0] == "refining"] == [
        ("refining", n, 16) for n in range(1, 17)
    ]
    assert seen.count(("rounding", 1, 1)) == 1  # before refinement


def test_both_ways_of_a_large_picture_are_shown(large: Path, tmp_path: Path) -> None:
    said = said_on_terminal("compress", large, tmp_path / "large.aec")
    assert bars_of(said) == passes(analysing=ANALYSED, rounding=LONG, decoding=LONG)
    line = said.rpartition("\r\033[K")[2]  # the bar is gone before the result is said
    assert "large.aec: " in line
    said = said_on_terminal("decompress", tmp_path / "large.aec", tmp_path / "back.png")
    assert bars_of(said) == passes(decoding=LONG)


def test_files_of_a_batch_are_counted(large: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    Image.fromarray(photograph(60, 50)).save(small)
    said = said_on_terminal("compress", large, small, "-d", tmp_path / "out")
    assert [bar for bar in bars_of(said) if bar[0] == "files"] == [("files", n, 2) for n in range(3)]
    assert ("analysing", ANALYSED, ANALYSED) in bars_of(said)


def test_no_bar_for_what_is_small_or_quiet(large: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    Image.fromarray(photograph(60, 50)).save(small)
    assert bars_of(said_on_terminal("compress", small)) == []
    assert said_on_terminal("compress", large, tmp_path / "large.aec", "--quiet") == ""


def test_no_bar_where_no_terminal_is(large: Path, tmp_path: Path) -> None:
    result = run_command("compress", large, tmp_path / "large.aec")
    assert result.returncode == 0
    assert "\r" not in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_closed_standard_error_is_no_terminal(large: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m aecodec.cli compress {large} {tmp_path / 'large.aec'} 2>&-"
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 0
