"""In which numbers and on which device a model is loaded, as an alias asks for it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from inference.engine.config import EngineConfig
from inference.engine.core import Engine
from inference.engine.memory import Memory
from inference.engine.notebook import Notebook
from inference.errors import CannotLoad
from inference.footprint.files import anatomy_read
from inference.protocol import Done, Dtype, Event, Generate, Load, ModelRef, Options, Unload
from tests.engine.engines import engine_of
from tests.engine.test_residents import until


def ref(folder: Path, dtype: Dtype = "auto", device: str = "auto") -> ModelRef:
    return ModelRef(name=f"{dtype} on {device}", path=str(folder), dtype=dtype, device=device)


async def events(engine: Engine, request: Load | Unload | Generate) -> list[Event]:
    return [event async for event in engine.submit(request)]


def loaded(engine: Engine) -> list[tuple[str, str]]:
    return sorted((model.dtype, model.device) for model in engine.status().models)


async def test_two_number_formats_are_two_loads(engine: Engine, tiny_llama: Path) -> None:
    for dtype in ("bfloat16", "float32", "bfloat16"):
        await events(engine, Load(model=ref(tiny_llama, dtype)))
    assert loaded(engine) == [("bfloat16", "cpu"), ("float32", "cpu")]
    for dtype in ("bfloat16", "float32"):
        asked = Generate(model=ref(tiny_llama, dtype), prompt="Hi", options=Options(num_predict=3))
        assert isinstance((await events(engine, asked))[-1], Done)


async def test_what_the_settings_say_anyway_is_no_load_of_its_own(engine: Engine, tiny_llama: Path) -> None:
    await events(engine, Load(model=ref(tiny_llama)))
    await events(engine, Load(model=ref(tiny_llama, "float32", "cpu")))
    assert loaded(engine) == [("float32", "cpu")]


async def test_a_model_is_let_go_as_it_was_loaded_or_altogether(engine: Engine, tiny_llama: Path) -> None:
    for dtype in ("bfloat16", "float32"):
        await events(engine, Load(model=ref(tiny_llama, dtype)))
    await events(engine, Unload(model=ref(tiny_llama, "float32")))
    assert loaded(engine) == [("bfloat16", "cpu")]
    await events(engine, Unload(model=ref(tiny_llama, "float16"), every=True))
    await until(lambda: not engine.status().models)


@pytest.mark.parametrize("device", ["mps", "cuda:99"])
async def test_a_device_that_is_not_there_is_refused_before_anything_goes(
    config: EngineConfig, tiny_llama: Path, device: str
) -> None:
    engine = engine_of(replace(config, max_models=1))
    try:
        await events(engine, Load(model=ref(tiny_llama)))
        # Not only at first: what is not there will not be there in ten seconds either.
        for _ in range(5):
            with pytest.raises(
                CannotLoad, match=rf"no device '{device}' on this machine. There is: .*cpu\.$"
            ):
                await events(engine, Load(model=ref(tiny_llama, device=device)))
        assert loaded(engine) == [("float32", "cpu")]
    finally:
        await engine.close()


def test_the_estimate_goes_by_the_number_format(config: EngineConfig, tiny_llama: Path) -> None:
    memory = Memory(config, Notebook())
    needs = {dtype: memory.need(ref(tiny_llama, dtype)) for dtype in ("bfloat16", "float32", "auto")}
    assert needs["float32"].estimate == needs["auto"].estimate
    numbers = anatomy_read(tiny_llama).numbers
    difference = needs["float32"].estimate.weights - needs["bfloat16"].estimate.weights
    assert numbers * 2 <= difference <= numbers * 2.5


def test_what_was_measured_in_one_format_says_nothing_of_another(
    config: EngineConfig, tiny_llama: Path
) -> None:
    memory = Memory(config, Notebook())
    memory.note(memory.need(ref(tiny_llama, "bfloat16")), 10**9)
    assert memory.need(ref(tiny_llama, "bfloat16")).estimate.resting == 10**9
    assert memory.need(ref(tiny_llama, "float32")).estimate.resting < 10**9


def test_the_wire_takes_devices_that_there_can_be() -> None:
    for device in ("auto", "cpu", "mps", "cuda", "cuda:0", "cuda:12"):
        msgspec.convert({"name": "m", "path": "p", "device": device}, ModelRef)
    for device in ("", "gpu", "cuda:", "cuda:123", "cpu\n", "CUDA"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"name": "m", "path": "p", "device": device}, ModelRef)
