"""A forked process codes as its parent does, whatever the parent has loaded or is about to load."""

from __future__ import annotations

import os

import pytest

from tests.common import run_python

SCRIPT = """
import os, signal, sys, threading, warnings
import numpy as np
import aecodec
warnings.simplefilter("ignore")  # of forks beside threads, from Python 3.12 on
busy = sys.argv[1] == "busy"
pixels = np.arange(96 * 128 * 3).reshape(96, 128, 3) // 144 % 256

def code(quality):
    return aecodec.decompress(aecodec.compress(pixels.astype(np.uint8), quality)).tobytes()

def search():
    return aecodec.compress(pixels.astype(np.uint8), psnr=30)

def go_on():
    while busy:
        code(50), search()

expected = [code(quality) for quality in (20, 40, 60, 80, 30)]  # more qualities than sessions are kept
others = [threading.Thread(target=go_on) for _ in range(2)]
[other.start() for other in others]
for _ in range(4):
    if not (child := os.fork()):
        signal.alarm(60)  # ends it where it hangs
        search()
        os._exit([code(quality) for quality in (20, 40, 60, 80, 30)] != expected)
    print(os.waitpid(child, 0)[1])
busy = False
[other.join() for other in others]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system that does not fork")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("parent", ["idle", "busy"])
def test_a_forked_process_codes(parent: str, threads: int) -> None:
    assert run_python(SCRIPT, parent, threads=threads).split() == ["0"] * 4
