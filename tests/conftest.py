"""Fixtures that are costly to make, made once, and hypothesis without clocks or chance."""

from __future__ import annotations

import pytest
from hypothesis import settings

from aecodec.arrays import Pixels
from aecodec.model.registry import Model, model_named
from tests.common import photograph

settings.register_profile("aecodec", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("aecodec")


@pytest.fixture(scope="session")
def model() -> Model:
    """A model that ships."""
    return model_named("base")


@pytest.fixture(scope="session")
def photo() -> Pixels:
    """A photograph of 300 x 470 pixels: more cells than a halo sees, sides that no cell divides."""
    return photograph(300, 470)
