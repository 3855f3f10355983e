"""How far a reader has to walk who follows a picture: the functions that a small photograph goes through."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.common import photograph

# What `aecodec compress` takes a plain PNG through today. A change that needs more should first look for what
# an ordinary picture can go past: a rare case is entered by those who have it.
MOST_FUNCTIONS, MOST_FILES = 110, 32
WALK = """
import sys, threading
from aecodec import cli
walked = set()

def note(frame, event, _):
    code = frame.f_code
    named = code.co_flags & 1 and not code.co_name.startswith("<")  # no class body, comprehension or lambda
    named = named and not code.co_filename.startswith("<")  # nor what dataclasses generate
    if event == "call" and named and frame.f_globals.get("__name__", "").split(".")[0] == "aecodec":
        walked.add((code.co_filename, code.co_firstlineno))

threading.setprofile(note)
sys.setprofile(note)
try:
    cli.main()
finally:
    sys.setprofile(None)
    print(len(walked), len({file for file, _ in walked}))
"""


def test_a_photograph_walks_through_few_functions(tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    Image.fromarray(photograph(192, 256).clip(8, 247)).save(picture)  # white and black are coded apart
    command = [sys.executable, "-c", WALK, "compress", str(picture), str(tmp_path / "photo.aec")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    functions, files = map(int, printed.split())
    assert functions <= MOST_FUNCTIONS
    assert files <= MOST_FILES
