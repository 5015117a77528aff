"""Editors of every family, tiny: the edit is of the picture, the same seed the same bytes, and it stops.

Those that scale every picture to a million pixels are told here to scale to fewer: that is diffusers' own
choice, and takes half a minute on a CPU however small the model is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from diffusers import FluxKontextPipeline, QwenImageEditPlusPipeline
from diffusers.pipelines.flux import pipeline_flux_kontext
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus
from PIL import Image
from transformers.utils import is_torchvision_available

from inference.engine.core import Engine
from inference.errors import InvalidRequest
from inference.protocol import Drawing
from tests.engine.test_image import asked, drawn, events_of, opened, pixels, png
from tests.tiny_pipelines import (
    SIDE,
    make_tiny_flux,
    make_tiny_flux2,
    make_tiny_qwen_image,
    make_tiny_sd,
    make_tiny_sd3,
)

AREA = 64 * 64
MAKERS: dict[str, Callable[[Path], Path]] = {
    "sd": make_tiny_sd,
    "sd3": make_tiny_sd3,
    "kontext": lambda folder: make_tiny_flux(folder, FluxKontextPipeline),
    "flux2": make_tiny_flux2,
    "qwen-edit": lambda folder: make_tiny_qwen_image(folder, folder.with_name("seeing"), edits=True),
    "qwen-edit-plus": lambda folder: make_tiny_qwen_image(
        folder, folder.with_name("seeing-plus"), edits=True, kind=QwenImageEditPlusPipeline
    ),
}
# It leaves out the first 64 tokens of a prompt, which are its template's.
PROMPT = {"prompt": "a red circle on a table " * 6, "width": SIDE, "height": SIDE}


@pytest.fixture(scope="module")
def folders(models_root: Path) -> dict[str, Path]:
    place = models_root / "editors"
    return {name: make(place / name) for name, make in MAKERS.items()}


@pytest.fixture(autouse=True)
def fewer_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus):
        whole = module.calculate_dimensions
        monkeypatch.setattr(module, "calculate_dimensions", lambda area, ratio, of=whole: of(AREA, ratio))
    monkeypatch.setattr(pipeline_flux_kontext, "PREFERRED_KONTEXT_RESOLUTIONS", [(SIDE, SIDE)])


def noise(seed: int) -> Image.Image:
    values = numpy.random.default_rng(seed).integers(0, 256, (2 * SIDE, 2 * SIDE, 3), dtype=numpy.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("name", MAKERS)
async def test_an_edit_is_of_its_picture(engine: Engine, folders: dict[str, Path], name: str) -> None:
    assert not is_torchvision_available()
    one, other = png(noise(1)), png(noise(2))
    edits = await drawn(engine, folders[name], images=(one,), count=2, **PROMPT)
    assert [opened(edit).size for edit in edits] == [(SIDE, SIDE)] * 2
    assert (pixels(edits[0]) != pixels(edits[1])).any()
    assert (pixels(edits[0]) != numpy.asarray(noise(1).resize((SIDE, SIDE)))).any()
    assert await drawn(engine, folders[name], images=(one,), **PROMPT) == edits[:1]
    (elsewhere,) = await drawn(engine, folders[name], images=(other,), **PROMPT)
    assert (pixels(elsewhere) != pixels(edits[0])).any()


@pytest.mark.parametrize("name", MAKERS)
async def test_it_tells_its_steps_and_stops_within_one(
    engine: Engine, folders: dict[str, Path], name: str
) -> None:
    request = asked(folders[name], images=(png(noise(1)),), **PROMPT)
    done = [event.done for event in await events_of(engine, request) if isinstance(event, Drawing)]
    assert done == list(range(len(done)))
    steps = engine.status().steps
    long = asked(folders[name], images=(png(noise(1)),), **(PROMPT | {"steps": 300}))
    async with contextlib.aclosing(engine.submit(long)) as events:
        async for event in events:
            if isinstance(event, Drawing) and event.done == 2:
                break
    await drawn(engine, folders[name], images=(png(noise(1)),), **PROMPT)
    assert engine.status().steps - steps < 20


@pytest.mark.parametrize("name", ["flux2", "qwen-edit-plus"])
async def test_two_pictures_are_one_input_where_the_model_takes_them(
    engine: Engine, folders: dict[str, Path], name: str
) -> None:
    one, other = png(noise(1)), png(noise(2))
    (alone,) = await drawn(engine, folders[name], images=(one,), **PROMPT)
    (both,) = await drawn(engine, folders[name], images=(one, other), **PROMPT)
    assert (pixels(alone) != pixels(both)).any()
    with pytest.raises(InvalidRequest, match="one picture at a time"):
        await events_of(engine, asked(folders["kontext"], images=(one, other), **PROMPT))


async def test_what_a_pipeline_says_of_its_pictures_is_the_requests_mistake(
    engine: Engine, folders: dict[str, Path]
) -> None:
    small = png(noise(1).resize((SIDE, SIDE)))
    with pytest.raises(InvalidRequest, match="cannot draw this: Image too small"):
        await events_of(engine, asked(folders["flux2"], images=(small,), **PROMPT))
