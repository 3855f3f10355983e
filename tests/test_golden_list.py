"""Golden files are neither removed nor changed: tests/golden.sha256 lists them all, and only grows.

New files are added at its end: (cd tests/golden && sha256sum NEW...) >> tests/golden.sha256. A release then
adds a line to FROZEN, which holds the list to what it was.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.common import ROOT
from tests.portability import GOLDEN

LIST = ROOT / "tests" / "golden.sha256"  # as `sha256sum` writes it
FROZEN = [  # lines of the list at a release, and their SHA-256
    (51, "b0ebac6556922eb42472afa8272498027a54ddf85c5e5d18b378f9abdc01b32d"),
]


def lines_of(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def missing_or_changed(text: str, folder: Path) -> list[str]:
    """The names on a list of files that a folder lacks, or has with other bytes."""
    names = []
    for line in lines_of(text):
        digest, name = line.split()
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            names.append(name)
    return names


def shortened(text: str) -> list[int]:
    """The numbers of lines that a list had at releases and that are not the first of it any more."""
    beginnings = [("".join(lines_of(text)[:count]), count, digest) for count, digest in FROZEN]
    return [
        count for start, count, digest in beginnings if hashlib.sha256(start.encode()).hexdigest() != digest
    ]


def test_every_golden_file_is_there_as_it_was() -> None:
    assert missing_or_changed(LIST.read_text(), GOLDEN) == []


def test_every_golden_file_is_on_the_list() -> None:
    names = [line.split()[1] for line in lines_of(LIST.read_text())]
    assert sorted(names) == sorted(path.name for path in GOLDEN.iterdir())


def test_the_list_only_grows() -> None:
    assert shortened(LIST.read_text()) == []
    assert shortened(LIST.read_text() + "0 new.aec\n") == []


@pytest.mark.parametrize("line", [0, 20, 44])
def test_a_line_that_is_lost_is_noticed(line: int) -> None:
    lines = lines_of(LIST.read_text())
    assert shortened("".join(lines[:line] + lines[line + 1 :])) == [FROZEN[0][0]]


def test_a_file_that_is_changed_or_lost_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(b"1")
    (tmp_path / "changed").write_bytes(b"1")
    one, other = (hashlib.sha256(data).hexdigest() for data in (b"1", b"2"))
    text = f"{one}  same\n{other}  changed\n{one}  lost\n"
    assert missing_or_changed(text, tmp_path) == ["changed", "lost"]
