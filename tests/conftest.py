"""Fixtures that are costly to make, made once, and hypothesis without clocks or chance."""

from __future__ import annotations

import pytest
from hypothesis import settings

from aecodec.model import Model, model_named
from aecodec.pipeline import Pixels
from tests.common import photograph

settings.register_profile("aecodec", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("aecodec")


@pytest.fixture
def model() -> Model:
    """A model that ships: the very object that the library works with, loaded anew where it was evicted."""
    return model_named("base")


@pytest.fixture(scope="session")
def photo() -> Pixels:
    """A photograph of 300 x 470 pixels: more cells than a halo sees, sides that no cell divides."""
    return photograph(300, 470)
