"""The image handler: tiny pipelines draw, edit, fill in, tell how far they are, and stop."""

from __future__ import annotations

import contextlib
import gc
import io
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from inference.engine.config import EngineConfig
from inference.engine.core import Engine
from inference.engine.handlers import load_handler
from inference.errors import InvalidRequest, LoadFailed, Unsupported
from inference.protocol import Done, Draw, Drawing, Embed, Event, ModelRef, Picture
from tests.serving import PROJECT
from tests.tiny_pipelines import SIDE, make_tiny_flux, make_tiny_qwen_image, make_tiny_sd


@pytest.fixture(scope="module")
def sd(models_root: Path) -> Path:
    return make_tiny_sd(models_root / "pictures" / "sd")


def test_pipelines_do_without_bitsandbytes() -> None:
    """Importing it takes a second and 50 MB; nothing here is loaded by it."""
    script = "import inference.engine.handlers.image, sys; sys.exit('bitsandbytes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=False).returncode == 0


def asked(folder: Path, **more: Any) -> Draw:
    wanted = {"prompt": "a red circle", "steps": 3, "seed": 7} | more
    return Draw(model=ModelRef(name=folder.name, path=str(folder)), **wanted)


async def events_of(engine: Engine, request: Draw) -> list[Event]:
    return [event async for event in engine.submit(request)]


async def drawn(engine: Engine, folder: Path, **more: Any) -> list[Picture]:
    events = await events_of(engine, asked(folder, **more))
    assert isinstance(events[-1], Done)
    return [event for event in events if isinstance(event, Picture)]


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def opened(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(picture.data), formats=["PNG"])


def pixels(picture: Picture) -> numpy.ndarray:
    return numpy.asarray(opened(picture)).astype(int)


async def test_the_same_seed_is_the_same_picture_alone_and_among_others(engine: Engine, sd: Path) -> None:
    three = await drawn(engine, sd, count=3)
    assert [picture.seed for picture in three] == [7, 8, 9]
    assert len({picture.data for picture in three}) == 3
    for picture in three:
        assert await drawn(engine, sd, seed=picture.seed) == [picture]
    assert opened(three[0]).size == (SIDE, SIDE)


async def test_without_a_seed_it_is_told_which_one_it_was(engine: Engine, sd: Path) -> None:
    first, second = await drawn(engine, sd, seed=None), await drawn(engine, sd, seed=None)
    assert first[0].data != second[0].data
    assert await drawn(engine, sd, seed=first[0].seed) == first


async def test_seeds_wrap_around(engine: Engine, sd: Path) -> None:
    highest = 2**63 - 1
    assert [picture.seed for picture in await drawn(engine, sd, seed=highest, count=2)] == [highest, -(2**63)]


async def test_every_step_is_told(engine: Engine, sd: Path) -> None:
    events = await events_of(engine, asked(sd, count=2))
    steps = [event.done for event in events if isinstance(event, Drawing)]
    # This scheduler makes one step more than it is asked for.
    assert steps == list(range(9))
    assert Drawing(done=8, total=8) in events
    assert [type(event) for event in events[-5:]] == [Drawing, Drawing, Drawing, Picture, Done]
    assert engine.status().steps == 8


async def test_sizes_prompts_and_guidance_count(engine: Engine, sd: Path) -> None:
    plain, wide = await drawn(engine, sd), await drawn(engine, sd, width=48, height=16)
    assert opened(wide[0]).size == (48, 16)
    for more in ({"prompt": "a blue star"}, {"negative_prompt": "a circle"}, {"guidance": 1.0}, {"steps": 5}):
        assert (await drawn(engine, sd, **more))[0].data != plain[0].data


async def test_a_picture_says_how_it_was_made(engine: Engine, sd: Path) -> None:
    (picture,) = await drawn(engine, sd, prompt="ein Bär", negative_prompt="雪")
    assert opened(picture).text["parameters"] == (  # type: ignore[attr-defined]
        "ein Bär\nNegative prompt: 雪\nSteps: 3, Seed: 7, Size: 32x32, Model: sd"
    )


async def test_an_edit_stays_near_its_picture_when_the_strength_is_low(engine: Engine, sd: Path) -> None:
    source = png(Image.new("RGB", (SIDE, SIDE), "red"))
    near = pixels((await drawn(engine, sd, images=(source,), strength=0.1, steps=10))[0])
    again = pixels((await drawn(engine, sd, images=(source,), strength=0.1, steps=10))[0])
    far = pixels((await drawn(engine, sd, images=(source,), strength=1.0, steps=10))[0])
    other = png(Image.new("RGB", (SIDE, SIDE), "blue"))
    elsewhere = pixels((await drawn(engine, sd, images=(other,), strength=0.1, steps=10))[0])
    assert (near == again).all()
    assert (near != far).any()
    assert (near != elsewhere).any()


async def test_an_edit_has_its_pictures_shape_but_no_more_pixels_than_the_model_draws(
    engine: Engine, sd: Path
) -> None:
    large = png(Image.new("RGB", (400, 100), "red"))
    assert opened((await drawn(engine, sd, images=(large,)))[0]).size == (64, 16)
    assert opened((await drawn(engine, sd, images=(large,), width=40, height=24))[0]).size == (40, 24)
    assert opened((await drawn(engine, sd, images=(large,), width=80))[0]).size == (80, 16)


async def test_only_what_the_mask_leaves_white_is_painted(engine: Engine, sd: Path) -> None:
    source = Image.effect_noise((SIDE, SIDE), 64).convert("RGB")
    mask = Image.new("L", (SIDE, SIDE), "black")
    mask.paste(255, (0, 0, SIDE // 2, SIDE))
    (picture,) = await drawn(engine, sd, images=(png(source),), mask=png(mask))
    before, after = numpy.asarray(source).astype(int), pixels(picture)
    assert (after[:, SIDE // 2 :] == before[:, SIDE // 2 :]).all()
    assert (after[:, : SIDE // 2] != before[:, : SIDE // 2]).mean() > 0.9


async def test_leaving_ends_it_with_the_step_and_the_next_picture_is_as_if_nothing_was(
    engine: Engine, sd: Path
) -> None:
    before = await drawn(engine, sd)
    steps = engine.status().steps
    async with contextlib.aclosing(engine.submit(asked(sd, steps=400))) as events:
        async for event in events:
            if isinstance(event, Drawing) and event.done == 3:
                break
    assert await drawn(engine, sd) == before
    # What it was at when we left it may have ended, and begun another one; four are the picture after it.
    assert engine.status().steps - steps < 20


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"width": 33}, "the nearest to 33 × 0 is 32"),
        ({"width": 4096, "height": 4096}, "too many pixels"),
        ({"mask": b"x"}, "A mask needs the picture"),
        ({"images": (b"x", b"y")}, "one picture at a time"),
        ({"strength": 0.5}, "no strength here"),
        ({"images": (b"x",), "strength": 0.1, "steps": 5}, "nothing is left at this strength"),
        ({"prompt": "x" * 40_000}, "longer than"),
        ({"images": (b"no picture",)}, "in no format that can be read"),
    ],
)
async def test_what_cannot_be_drawn_is_refused(
    engine: Engine, sd: Path, wanted: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        await events_of(engine, asked(sd, **wanted))


async def test_a_model_that_fills_in_wants_a_mask(engine: Engine, models_root: Path) -> None:
    fill = make_tiny_sd(models_root / "pictures" / "fill", channels=9)
    with pytest.raises(Unsupported, match="send one with a mask"):
        await events_of(engine, asked(fill))
    source, mask = png(Image.new("RGB", (SIDE, SIDE), "red")), png(Image.new("L", (SIDE, SIDE), "white"))
    assert len(await drawn(engine, fill, images=(source,), mask=mask)) == 1


async def test_flux_draws_and_edits(engine: Engine, models_root: Path) -> None:
    flux = make_tiny_flux(models_root / "pictures" / "flux")
    two = await drawn(engine, flux, width=SIDE, height=SIDE, count=2)
    assert await drawn(engine, flux, width=SIDE, height=SIDE, seed=8) == two[1:]
    source, mask = png(Image.new("RGB", (SIDE, SIDE), "red")), png(Image.new("L", (SIDE, SIDE), "white"))
    edit = await drawn(engine, flux, images=(source,), negative_prompt="x", guidance=2.0)
    filled = await drawn(engine, flux, images=(source,), mask=mask)
    assert edit[0].data != filled[0].data
    with pytest.raises(InvalidRequest, match="multiples of 8"):
        await events_of(engine, asked(flux, width=34, height=32))


async def test_qwen_image_draws_and_its_editor_wants_a_picture(
    engine: Engine, models_root: Path, tmp_path: Path
) -> None:
    painter = make_tiny_qwen_image(models_root / "pictures" / "qwen", tmp_path / "seeing")
    # It leaves out the first 34 tokens, which are its template's.
    prompt = {"prompt": "a red circle on a table " * 4, "width": SIDE, "height": SIDE}
    plain, again = await drawn(engine, painter, **prompt), await drawn(engine, painter, **prompt)
    unguided = await drawn(engine, painter, **prompt, guidance=1.0)
    assert plain == again
    assert plain[0].data != unguided[0].data
    editor = make_tiny_qwen_image(models_root / "pictures" / "qwen-edit", tmp_path / "reading", edits=True)
    with pytest.raises(Unsupported, match="This model edits pictures"):
        await events_of(engine, asked(editor))


async def test_it_does_nothing_else(engine: Engine, sd: Path) -> None:
    request = Embed(model=ModelRef(name="sd", path=str(sd)), texts=("x",))
    with pytest.raises(Unsupported, match="draws pictures"):
        [event async for event in engine.submit(request)]


async def test_foreign_code_and_damaged_folders_are_not_loaded(
    engine: Engine, sd: Path, models_root: Path
) -> None:
    folder = shutil.copytree(sd, models_root / "pictures" / "foreign")
    index = (folder / "model_index.json").read_text()
    (folder / "model_index.json").write_text(
        index.replace('"PNDMScheduler"', '"Popen"').replace(
            'diffusers",\n    "Popen', 'subprocess",\n    "Popen'
        )
    )
    with pytest.raises(LoadFailed, match="Pull the model again"):
        await events_of(engine, asked(folder))


async def test_closing_gives_the_weights_back(sd: Path, config: EngineConfig) -> None:
    handler = load_handler(ModelRef(name="sd", path=str(sd)), config)
    assert (handler.device, handler.context_length) == ("cpu", 0)
    assert handler.size > 10_000
    unet = weakref.ref(handler._painter._main.unet)
    handler.close()
    gc.collect()
    assert unet() is None


async def test_quantized_it_is_refused(sd: Path, config: EngineConfig) -> None:
    with pytest.raises(Unsupported, match="int8"):
        load_handler(ModelRef(name="sd", path=str(sd), quantization="int8"), config)
