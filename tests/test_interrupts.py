"""An interrupt never divides a step of training, and ends a pool of processes once."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from aecodec.training.interrupts import SIGNALS, deferred_interrupts, first_interrupt_only


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """SIGINT interrupts, which a shell's background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupt_waits_for_the_end(number: signal.Signals) -> None:
    done: list[str] = []
    before = signal.signal(number, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():  # noqa: PT012
        signal.raise_signal(number)
        done.append("the rest")
    assert done
    assert signal.getsignal(number) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    signal.signal(number, before)


def test_a_pool_is_interrupted_once() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(KeyboardInterrupt), first_interrupt_only():  # noqa: PT012
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            for number in SIGNALS:
                signal.raise_signal(number)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_threads_are_left_as_they_are() -> None:
    def work() -> None:
        with deferred_interrupts():
            handlers.append(signal.getsignal(signal.SIGINT))

    handlers: list[object] = []
    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


def test_a_checkpoint_after_an_interrupt_is_of_whole_steps(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch imports
        from aecodec.training.loop import Schedule, train

    class Interrupted(torch.optim.SGD):  # type: ignore[misc, name-defined]
        """Moves one weight by 1, is interrupted, and moves the other."""

        def step(self, closure: None = None) -> None:
            for weight in self.param_groups[0]["params"]:
                weight.data += 1
                signal.raise_signal(signal.SIGINT)

    class Task:
        network = torch.nn.Linear(1, 1)

        def configuration(self) -> dict[str, object]:
            return {}

        def optimiser(self, rate: float) -> Interrupted:
            return Interrupted(self.network.parameters(), lr=rate)

        def seed(self, number: int) -> None:
            pass

        def loss(self, progress: float) -> object:
            return self.network(torch.ones(1, 1)).sum()

        def validate(self, network: object) -> list[dict[str, float]]:
            return []

    for parameter in Task.network.parameters():
        parameter.data.zero_()
    with pytest.raises(KeyboardInterrupt):
        train(Schedule(steps=5), Task(), tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 1
    assert [float(state["network"][name]) for name in ("weight", "bias")] == [1, 1]
