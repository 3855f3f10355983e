"""Work in the background: its result, its errors, and a system that has no thread for it."""

from __future__ import annotations

import threading

import pytest

from aecodec.parallel import run_in_thread


def test_work_is_done_beside_the_caller() -> None:
    started, goes_on = threading.Event(), threading.Event()

    def work() -> int:
        started.set()
        goes_on.wait(timeout=60)
        return 42

    future = run_in_thread(work)
    assert started.wait(timeout=60)
    assert not future.done()
    goes_on.set()
    assert future.result(timeout=60) == 42


def test_errors_are_kept_for_who_asks_for_the_result() -> None:
    with pytest.raises(ZeroDivisionError):
        run_in_thread(lambda: 1 // 0).result(timeout=60)


def test_without_threads_work_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = run_in_thread(lambda: 42)
    assert done.done()
    assert done.result() == 42
    with pytest.raises(ZeroDivisionError):
        run_in_thread(lambda: 1 // 0).result()
