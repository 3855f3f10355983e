"""Two processes that train one network, as torchrun starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from tests.common import PYTHONPATH, ROOT

TRAIN_AND_COMPARE = """
import os
import sys
from pathlib import Path

import torch
from skimage import data
from torch import distributed

from aecodec.errors import AecodecError
from aecodec.training.loop import Schedule, train
from aecodec.training.restoration import Denoising

torch.manual_seed(int(os.environ["RANK"]))  # the start of each is its own
task = Denoising([data.astronaut()], [], batch=2, side=32)
train(Schedule(steps=3, rate=1e-3, warm_up=1), task, Path(sys.argv[1]))
task = Denoising([data.astronaut()], [], batch=2, side=32)
train(Schedule(steps=5, rate=1e-3, warm_up=1), task, Path(sys.argv[1]))  # resumes
share = torch.load(Path(sys.argv[1]) / ("checkpoint-1.pt" if os.environ["RANK"] == "1" else "checkpoint.pt"))
assert share["optimiser"]["param_groups"][0]["step"] == 5, "the optimiser began anew"
assert 0 < len(share["optimiser"]["state"]) < len(list(task.network.parameters())), "the work is not shared"
own = torch.cat([parameter.detach().flatten() for parameter in task.network.parameters()])
both = [torch.empty_like(own) for _ in range(2)]
distributed.all_gather(both, own)
assert torch.equal(*both), "the processes have different weights"
if os.environ["RANK"] == "1":
    (Path(sys.argv[1]) / "checkpoint-1.pt").unlink()
try:
    train(Schedule(steps=9, rate=1e-3, warm_up=1), task, Path(sys.argv[1]))
    raise AssertionError("a share was missing")
except AecodecError as error:
    assert "steps 5, 0" in str(error), error
draw = task.crops.batch(2, 32).contiguous()
draws = [torch.empty_like(draw) for _ in range(2)]
distributed.all_gather(draws, draw)
assert not torch.equal(*draws), "the processes draw the same batches"
"""


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(TRAIN_AND_COMPARE)
    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    result = subprocess.run(
        [*launcher, "--nproc-per-node", "2", str(script), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1"},
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [3, 5]


@pytest.mark.filterwarnings("ignore")
def test_a_process_alone_needs_no_others() -> None:
    from aecodec.training import distributed
    from aecodec.training.stages import SRCNN

    network = SRCNN()
    network(torch.from_numpy(np.asarray(data.camera(), np.float32)[None, None, :32, :32])).mean().backward()
    before = [parameter.grad.clone() for parameter in network.parameters()]
    distributed.join()
    distributed.average_gradients(network)
    assert distributed.rank() == 0
    assert all(torch.equal(b, p.grad) for b, p in zip(before, network.parameters(), strict=True))
