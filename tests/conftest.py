"""Fixtures that are costly to make, made once, and hypothesis without clocks or chance."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

from aecodec.arrays import Pixels
from aecodec.model.registry import Model, model_named
from tests.common import photograph

settings.register_profile("aecodec", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("aecodec")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """In each test process, for numpy and torch: tests run side by side, and what they compute is small.

    Threads of OpenMP spin as they wait for each other, the longer the busier the machine.
    """
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def model() -> Model:
    """A model that ships."""
    return model_named("base")


@pytest.fixture(scope="session")
def photo() -> Pixels:
    """A photograph of 300 x 470 pixels: more cells than a halo sees, sides that no cell divides."""
    return photograph(300, 470)


BROWSER = next(
    (path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium; skips where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()
