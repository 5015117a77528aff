"""What models of every kind really take in an engine of their own, against what was estimated.

Each is large enough that what it takes is mostly its own: 57 to 480 MB. What a picture takes while it is
drawn is the most that the process held meanwhile.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import (
    AutoConfig,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    LlavaForConditionalGeneration,
    Qwen2_5_VLForConditionalGeneration,
    WhisperForConditionalGeneration,
)

from inference.footprint.estimate import Estimate, estimate
from inference.footprint.files import anatomy_read
from inference.machine import machine_read
from inference.protocol import Draw, Quantization
from tests.engines import EngineProcess, assert_near, make_llama, ref, save_random
from tests.tiny import tiny_tokenizer
from tests.tiny_pipelines import make_flux, make_qwen_image, make_sd
from tests.tiny_speech import make_tiny_whisper
from tests.tiny_vision import make_tiny_vision

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a model takes")

# Of what drawing takes, this much may lie in what the heap has kept of earlier ones, and is not seen.
UNSEEN = 0.5
# Pixels of a side: of the pictures drawn here, and of those that FLUX and Qwen-Image were made for.
SIDE, OWN_SIDE = 256, 1024
TEXT = {
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 6,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 64,
}
WHISPER = {
    "d_model": 768,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 12,
    "decoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "decoder_ffn_dim": 3072,
}


def vision_config(folder: Path, tower: dict[str, int]) -> object:
    """The configuration of the tiny model in ``folder``, grown."""
    config = AutoConfig.from_pretrained(folder)
    for part, sizes in ((config.text_config, TEXT), (config.vision_config, tower)):
        for name, value in sizes.items():
            setattr(part, name, value)
    if getattr(config.text_config, "layer_types", None):
        config.text_config.layer_types = ["full_attention"] * TEXT["num_hidden_layers"]
    return config


def llava(folder: Path) -> None:
    make_tiny_vision("llava", folder)
    tower = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 6, "num_attention_heads": 8}
    save_random(LlavaForConditionalGeneration, vision_config(folder, tower), folder)


def qwen_vl(folder: Path) -> None:
    make_tiny_vision("qwen2_5_vl", folder)
    tower = {
        "hidden_size": 512,
        "intermediate_size": 2048,
        "depth": 6,
        "num_heads": 8,
        "out_hidden_size": 1024,
    }
    config = vision_config(folder, tower)
    config.text_config.rope_parameters = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [8, 12, 12],
    }
    save_random(Qwen2_5_VLForConditionalGeneration, config, folder)


def bert(folder: Path) -> None:
    save_random(BertModel, BertConfig(vocab_size=20_000, num_hidden_layers=6), folder)
    tiny_tokenizer().save_pretrained(folder)


def reranker(folder: Path) -> None:
    config = BertConfig(vocab_size=20_000, num_hidden_layers=6, num_labels=1)
    save_random(BertForSequenceClassification, config, folder)
    tiny_tokenizer().save_pretrained(folder)


def whisper(folder: Path) -> None:
    make_tiny_whisper(folder)
    generation = (folder / "generation_config.json").read_bytes()
    config = AutoConfig.from_pretrained(folder)
    for name, value in WHISPER.items():
        setattr(config, name, value)
    save_random(WhisperForConditionalGeneration, config, folder)
    (folder / "generation_config.json").write_bytes(generation)


MAKERS = {
    "llama": lambda folder: make_llama(folder, 8),
    "llava": llava,
    "qwen2_5_vl": qwen_vl,
    "bert": bert,
    "reranker": reranker,
    "whisper": whisper,
    "sd": make_sd,
    "flux": make_flux,
    "qwen-image": make_qwen_image,
}


@pytest.fixture
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The folder of the model that a test asks for by its name; gone afterwards, for they are large."""
    folder = tmp_path / request.param
    MAKERS[request.param](folder)
    yield folder
    shutil.rmtree(tmp_path)


def guessed(folder: Path, quantization: Quantization = "none", *, side: int = 0) -> Estimate:
    """The estimate, as if the model's own pictures had this ``side``."""
    anatomy = anatomy_read(folder)
    if side and not (folder / "unet").exists():
        anatomy = replace(anatomy, picture=anatomy.picture * side**2 // OWN_SIDE**2)
    guess = estimate(
        anatomy,
        device="cpu",
        number_size=machine_read("cpu").number_size,
        quantization=quantization,
    )
    assert guess is not None
    return guess


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    place = tmp_path_factory.mktemp("run")
    with EngineProcess(place / "e.sock", place.parent, max_models=1) as engine:
        yield engine


@pytest.mark.parametrize("made", ["llama", "llava", "qwen2_5_vl"], indirect=True)
async def test_models_that_write_in_every_precision(engine: EngineProcess, made: Path) -> None:
    """In 4 bits too: towers stay as they are, and so does the table of words."""
    taken: list[int] = []
    for quantization in ("none", "int8", "int4"):
        taken.append(await engine.load(made, quantization))
        assert_near(guessed(made, quantization).resting, taken[-1])
        await engine.unload(made)
    assert taken == sorted(taken, reverse=True)


@pytest.mark.parametrize("made", ["bert", "reranker", "whisper"], indirect=True)
async def test_models_that_read_and_that_hear(engine: EngineProcess, made: Path) -> None:
    """Encoders are stored in 16 bits here, and computed in 32."""
    assert_near(guessed(made).resting, await engine.load(made))
    await engine.unload(made)


@pytest.mark.parametrize("made", ["sd", "flux", "qwen-image"], indirect=True)
async def test_pipelines_and_their_pictures(engine: EngineProcess, made: Path) -> None:
    taken = await engine.load(made)
    assert_near(guessed(made).resting, taken)
    before = held(engine, "VmRSS")
    # From here on the highest is counted; source: proc(5), clear_refs.
    Path(f"/proc/{engine.process.pid}/clear_refs").write_text("5")
    request = Draw(model=ref(made), prompt="a red circle on a table " * 6, steps=1, width=SIDE, height=SIDE)
    async for _ in engine.client.stream(request):
        pass
    drawing = held(engine, "VmHWM") - before
    guess = guessed(made, side=SIDE)
    estimated = guess.resting + guess.working
    assert 0.85 * (taken + drawing) < estimated < 1.3 * (taken + drawing / UNSEEN)
    await engine.unload(made)


def held(engine: EngineProcess, what: str) -> int:
    """Bytes of the engine's process, by a name in its ``/proc/PID/status``."""
    status = Path(f"/proc/{engine.process.pid}/status").read_text()
    found = re.search(rf"{what}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024
