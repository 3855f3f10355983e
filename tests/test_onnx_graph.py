"""An input of a graph becomes a constant; what is no graph is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aecodec.errors import ModelError
from aecodec.fields import write_varint
from aecodec.model.onnx_graph import fields, message, read_varint, with_constant
from aecodec.model.registry import Model


@given(st.integers(0, 2**35 - 1))
def test_numbers(value: int) -> None:
    assert read_varint(memoryview(write_varint(value)), 0) == (value, len(write_varint(value)))


def test_fields_of_a_graph_are_all_of_it(model: Model) -> None:
    graph = model.files["synthesis.onnx"]
    assert b"".join(field for _, field, _ in fields(memoryview(graph))) == graph


def test_only_the_input_is_another(model: Model) -> None:
    graph = model.files["first_means.onnx"]
    fixed = with_constant(graph, "quality", 12.5)
    assert np.float32(12.5).tobytes() in fixed
    assert with_constant(fixed, "quality", 40) == fixed
    assert with_constant(graph, "no such input", 40) == graph


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_a_graph_that_is_cut_off_is_refused(model: Model, cut: int) -> None:
    with pytest.raises(ModelError, match="cut off"):
        with_constant(model.files["first_means.onnx"][:-cut], "quality", 50)


def test_a_field_of_no_known_type_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        with_constant(message(3, b"abc") + bytes([8 * 4 + 3, 0]), "quality", 50)
