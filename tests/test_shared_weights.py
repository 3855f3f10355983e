"""Weights that graphs share stand in one file, and come back as they were."""

from __future__ import annotations

import pytest

from aecodec.errors import ModelError
from aecodec.model.onnx_graph import fields, tensors_of, with_shared, without_shared
from aecodec.model.registry import DECODER_FILES, TABLES, Model, graph_of, model_named

GRADIENT = "gradient.onnx"


def decoder_of(model: Model) -> dict[str, bytes]:
    return {name: model.files[name] for name in DECODER_FILES if name != TABLES}


@pytest.mark.parametrize("name", ["base", "visual"])
def test_the_gradient_repeats_no_weights(name: str) -> None:
    model = model_named(name)
    shared = {data for _, _, data in tensors_of(decoder_of(model)) if len(data) >= 64}
    assert not shared & {data for _, _, data in tensors_of({GRADIENT: model.files[GRADIENT]})}
    assert len(model.files[GRADIENT]) < 2**20 < len(graph_of(model.name, model.files, "gradient"))


def test_what_is_left_out_comes_back(model: Model) -> None:
    gradient, decoder = graph_of(model.name, model.files, "gradient"), decoder_of(model)
    again = with_shared(without_shared(gradient, decoder), decoder)
    assert list(tensors_of({GRADIENT: again})) == list(tensors_of({GRADIENT: gradient}))
    assert len(list(fields(memoryview(again)))) == len(list(fields(memoryview(gradient))))


def test_a_graph_of_its_own_stays_as_it_is(model: Model) -> None:
    analysis = model.files["analysis.onnx"]
    assert with_shared(analysis, decoder_of(model)) == analysis
    assert without_shared(analysis, {}) == analysis


def test_weights_that_are_not_there_are_missed(model: Model) -> None:
    decoder = decoder_of(model)
    del decoder["synthesis.onnx"]
    with pytest.raises(ModelError, match=r"weights that are missing \(synthesis.onnx:.*reinstall"):
        with_shared(model.files[GRADIENT], decoder)


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_a_file_that_is_cut_off_is_refused(model: Model, cut: int) -> None:
    with pytest.raises(ModelError, match="cut off"):
        with_shared(model.files[GRADIENT][:-cut], decoder_of(model))
