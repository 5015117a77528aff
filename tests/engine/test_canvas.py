"""What an editor is given to draw on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from diffusers import FluxKontextPipeline
from PIL import Image

from inference.engine.canvas import canvas_of
from inference.engine.signature import Signature
from inference.engine.sizes import Sizes
from inference.protocol import Draw, ModelRef
from tests.shapes import saved

MODEL = ModelRef(name="a/b", path="/nowhere")


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ({"width": 64}, (64, 32)),
        ({"height": 64}, (128, 64)),
        ({"width": 64, "height": 64}, (64, 64)),
    ],
)
def test_of_one_side_the_other_follows_from_the_picture(
    asked: dict[str, Any], drawn: tuple[int, int]
) -> None:
    """Also for an editor that looks at the picture, and does not paint over it."""
    request = Draw(model=MODEL, prompt="a cat", images=(saved(Image.new("RGB", (256, 128))),), **asked)
    signature = Signature(FluxKontextPipeline, "flux")
    canvas = canvas_of(request, signature, Sizes(SimpleNamespace()), several=False)
    size = canvas.arguments["width"], canvas.arguments["height"]
    assert (size, canvas.pixels, canvas.arguments["max_area"]) == (drawn, drawn[0] * drawn[1], canvas.pixels)
