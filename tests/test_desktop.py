"""The files in packaging/ teach desktops the format: they are sound, and say what the package says."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

import aecodec
from aecodec.container import MAGIC
from aecodec.pillow import MIME, SUFFIX
from tests.common import ROOT, photograph
from tests.portability import GOLDEN
from tests.test_cli import run_command

PACKAGING = ROOT / "packaging"
NAMESPACE = {"mime": "http://www.freedesktop.org/standards/shared-mime-info"}


def run(*command: object) -> str:
    """What a command prints, if it is installed."""
    if not shutil.which(str(command[0])):
        pytest.skip(f"{command[0]} is not installed")
    words = list(map(str, command))
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_mime_type_is_that_of_the_package() -> None:
    root = ElementTree.parse(PACKAGING / "aecodec.xml").getroot()
    (mime_type,) = root.findall("mime:mime-type", NAMESPACE)
    match, glob = mime_type.find("mime:magic/mime:match", NAMESPACE), mime_type.find("mime:glob", NAMESPACE)
    assert match is not None
    assert glob is not None
    assert mime_type.get("type") == MIME
    assert glob.get("pattern") == f"*{SUFFIX}"
    assert match.get("offset") == "0"
    assert match.attrib["value"].encode().decode("unicode_escape").encode("latin-1") == MAGIC


def test_the_mime_database_takes_it(tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    shutil.copy(PACKAGING / "aecodec.xml", tmp_path / "packages")
    run("update-mime-database", tmp_path)
    assert f"{MIME}:*{SUFFIX}" in (tmp_path / "globs").read_text()
    assert MAGIC in (tmp_path / "magic").read_bytes()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("base-6001e981-gray", "aecodec image, version 1, learned, gray"),
        ("lossless-1", "aecodec image, version 1, lossless"),
        ("lossless-tiles", "aecodec image, version 1, lossless in tiles"),
    ],
)
def test_file_knows_the_golden_files(name: str, said: str) -> None:
    magic, path = PACKAGING / "aecodec.magic", GOLDEN / f"{name}.aec"
    assert run("file", "-b", "-m", magic, path).strip() == said
    assert run("file", "-b", "--mime-type", "-m", magic, path).strip() == MIME


def test_the_thumbnailer_calls_the_command_as_desktops_do(tmp_path: Path) -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(PACKAGING / "aecodec.thumbnailer")
    section = entry["Thumbnailer Entry"]
    assert section["MimeType"] == f"{MIME};"
    source, target = tmp_path / "a picture.aec", tmp_path / "thumbnail.png"
    source.write_bytes(aecodec.compress(photograph(90, 60), 40))
    target.touch()  # as desktops make it to have a name of their own
    values = {"%s": "32", "%i": str(source), "%o": str(target)}
    program, *arguments = [values.get(word, word) for word in shlex.split(section["Exec"])]
    assert program == section["TryExec"] == "aecodec"
    result = run_command(*arguments)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    with Image.open(target) as image:
        assert (image.format, image.size) == ("PNG", (32, 21))
