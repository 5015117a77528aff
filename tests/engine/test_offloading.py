"""Offloading: what is chosen at which sizes, and tiny pipelines that are drawn with in that way, on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
from msgspec.structs import replace
from PIL import Image

from inference.engine.config import EngineConfig, Placement
from inference.engine.handlers import load_handler
from inference.engine.handlers.image import ImageHandler
from inference.engine.memory import Memory
from inference.engine.notebook import Notebook
from inference.engine.offloading import Part, choose_offload, in_ram, on_device, parts_read
from inference.protocol import Draw, Drawing, ModelRef, Picture
from tests.engine.test_image import png
from tests.tiny_pipelines import SIDE, make_tiny_flux, make_tiny_sd

# On the GPU: 600 + 50 one part at a time, 90 one layer at a time, the checker and 10 to draw with always.
PARTS = {
    "text_encoder": Part(300, 90),
    "transformer": Part(600, 20),
    "vae": Part(50, 5),
    "safety_checker": Part(40, 4),
}


@pytest.mark.parametrize(
    ("free", "ram", "expected"),
    [
        (700, 990, "parts"),
        (699, 990, "layers"),
        (140, 990, "layers"),
        (139, 990, None),
        (700, 989, None),
        (0, 10**6, None),
    ],
)
def test_the_largest_that_fits_is_chosen(free: int, ram: int, expected: Placement | None) -> None:
    assert choose_offload(PARTS, drawing=10, free=free, ram=ram) == expected


def test_a_decoder_alone_is_on_the_device_once() -> None:
    assert on_device({"vae": Part(50, 5)}, "parts") == 50


@pytest.fixture(scope="module")
def sd(models_root: Path) -> Path:
    return make_tiny_sd(models_root / "offloaded" / "sd")


@pytest.fixture(scope="module")
def flux(models_root: Path) -> Path:
    return make_tiny_flux(models_root / "offloaded" / "flux")


@pytest.fixture(autouse=True)
def _only_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers numbers its devices, and to torch ``cpu:0`` is never where a tensor on ``cpu`` is already."""
    offload = accelerate.cpu_offload

    def unnumbered(model: torch.nn.Module, device: torch.device, **more: Any) -> None:
        offload(model, torch.device(device.type), **more)

    monkeypatch.setattr(accelerate, "cpu_offload", unnumbered)


def ref(folder: Path) -> ModelRef:
    return ModelRef(name=folder.name, path=str(folder))


def loaded(folder: Path, config: EngineConfig, placement: Placement) -> ImageHandler:
    handler = load_handler(ref(folder), replace(config, placement=placement))
    assert isinstance(handler, ImageHandler)
    return handler


def models_of(handler: ImageHandler) -> dict[str, torch.nn.Module]:
    parts = handler._painter._main.components
    return {name: part for name, part in parts.items() if isinstance(part, torch.nn.Module)}


def hooks(handler: ImageHandler) -> int:
    return sum(
        hasattr(module, "_hf_hook") for part in models_of(handler).values() for module in part.modules()
    )


def drawn(handler: ImageHandler, folder: Path, **more: Any) -> bytes:
    shown: list[Drawing | Picture] = []
    size = {"width": SIDE, "height": SIDE}
    handler._painter.draw(
        Draw(model=ref(folder), prompt="a circle", steps=3, seed=7, **size, **more), shown.append
    )
    assert isinstance(shown[-1], Picture)
    return shown[-1].data


def test_parts_and_their_largest_layers_are_what_is_loaded(flux: Path, config: EngineConfig) -> None:
    models = models_of(loaded(flux, config, "whole"))
    largest = {
        name: max(
            sum(weight.nbytes for weight in module.parameters(recurse=False)) for module in model.modules()
        )
        for name, model in models.items()
    }
    parts = parts_read(flux, 4)
    assert {name: part.layer for name, part in parts.items()} == largest
    assert in_ram(parts) == sum(weight.nbytes for model in models.values() for weight in model.parameters())


@pytest.mark.parametrize(("placement", "manner"), [("parts", "one part"), ("layers", "one layer")])
@pytest.mark.parametrize("name", ["sd", "flux"])
def test_offloaded_every_task_gives_the_same_picture(
    request: pytest.FixtureRequest, config: EngineConfig, name: str, placement: Placement, manner: str
) -> None:
    folder = request.getfixturevalue(name)
    whole, offloaded = loaded(folder, config, "whole"), loaded(folder, config, placement)
    assert (whole.manner, offloaded.manner) == ("", f"offloaded, {manner} at a time")
    assert (whole.size, whole.device) == (offloaded.size, offloaded.device)
    source, mask = (png(Image.new("RGB", (SIDE, SIDE), color)) for color in ("red", "white"))
    for more in ({}, {"images": (source,)}, {"images": (source,), "mask": mask}, {"count": 2}):
        assert drawn(offloaded, folder, **more) == drawn(whole, folder, **more)
        assert not hooks(offloaded)
    offloaded.close()


@pytest.mark.parametrize("placement", ["parts", "layers"])
def test_hooks_are_on_while_it_draws_and_off_when_it_is_given_up(
    sd: Path, config: EngineConfig, placement: Placement
) -> None:
    handler = loaded(sd, config, placement)
    before, seen = drawn(handler, sd), []

    def give_up(event: Drawing | Picture) -> None:
        if isinstance(event, Drawing) and event.done:
            places = {weight.device.type for weight in models_of(handler)["unet"].parameters()}
            seen.append((hooks(handler) > 0, places))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        handler._painter.draw(Draw(model=ref(sd), prompt="x", steps=3), give_up)
    # Between its turns a layer's weights have no place of their own.
    assert seen == [(True, {"cpu"} if placement == "parts" else {"meta"})]
    assert not hooks(handler)
    assert drawn(handler, sd) == before


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A GPU as torch tells of it, with so many bytes free."""
    memory = {"free": 0}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (memory["free"], 10**12))
    return memory


def test_the_estimate_is_of_what_is_placed(gpu: dict[str, int], sd: Path, config: EngineConfig) -> None:
    memory = Memory(replace(config, device="cuda", precision="auto"), Notebook(""))
    need, parts = memory.need(ref(sd)), parts_read(sd, 2)
    placements: tuple[Placement, ...] = ("whole", "parts", "layers")
    for placement in placements:
        gpu["free"] = on_device(parts, placement) + need.estimate.working
        placed = memory.placed(need, 0)
        assert placed is not None
        assert (placed.placement, placed.bytes) == (placement, gpu["free"])
    gpu["free"] -= 1
    assert memory.placed(need, 0) is None
    assert memory.placed(need, 1) is not None
    refused = str(memory.refusal(need, 0))
    assert "0.1 GB there one part at a time, or 0.1 GB one layer at a time, and 0 MB of RAM" in refused


def test_nothing_is_offloaded_but_from_cuda(sd: Path, config: EngineConfig) -> None:
    memory = Memory(config, Notebook(""))
    need = memory.need(ref(sd))
    # However much other programs give back meanwhile.
    assert memory.placed(need, -(10**15)) is None
    assert "Offloaded" not in str(memory.refusal(need, 0))
