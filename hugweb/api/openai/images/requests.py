"""``POST /v1/images/…``: what the bodies may say, and the requests that they are for us.

``seed``, ``steps``, ``guidance``, ``strength`` and ``negative_prompt`` are ours; ``quality``,
``style`` and the like are ignored.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import Meta, Struct

from aliases.selectors import Target
from hugweb.api.durations import keep_alive_seconds
from hugweb.api.openai.forms import Files
from hugweb.api.openai.images.masks import painted_white
from hugweb.api.openai.parts import checked_image, image_of
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import MAX_IMAGES, MAX_SAMPLES, Draw

LARGEST = 4096
_SIZE = re.compile(r"(?P<width>\d{1,5})x(?P<height>\d{1,5})")


class ImageBody(Struct, kw_only=True):
    """What all of them share. The picture's format is PNG, inside the answer."""

    model: str = ""
    prompt: str = ""
    n: Annotated[int, Meta(ge=1, le=MAX_SAMPLES)] = 1
    size: str = "auto"
    response_format: str = "b64_json"
    output_format: str = "png"
    background: str = "auto"
    stream: bool = False
    negative_prompt: str = ""
    steps: Annotated[int, Meta(ge=1, le=500)] | None = None
    guidance: Annotated[float, Meta(ge=0, le=100)] | None = None
    strength: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    keep_alive: float | str | None = None

    def request(self, target: Target, images: tuple[bytes, ...] = (), mask: bytes = b"") -> Draw:
        """This body as a request to ``target``."""
        self._check_formats()
        width, height = self._pixels()
        return Draw(
            model=target.model,
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            images=images,
            mask=mask,
            width=width,
            height=height,
            steps=self.steps or 0,
            guidance=self.guidance,
            strength=self.strength,
            seed=self.seed,
            count=self.n,
            keep_alive=keep_alive_seconds(self.keep_alive),
        )

    def check_prompt(self) -> None:
        """Refuse an empty prompt."""
        if not self.prompt:
            raise InvalidRequest("prompt is required", param="prompt")

    def _pixels(self) -> tuple[int, int]:
        if self.size == "auto":
            return 0, 0
        match = _SIZE.fullmatch(self.size)
        width, height = (int(match["width"]), int(match["height"])) if match else (0, 0)
        if not (width and height):
            raise InvalidRequest("A size is auto, or width and height as in 1024x768.", param="size")
        if max(width, height) > LARGEST:
            raise InvalidRequest(f"width and height must be <= {LARGEST}", param="size")
        return width, height

    def _check_formats(self) -> None:
        if self.response_format not in {"b64_json", "url"}:
            raise InvalidRequest("response_format is b64_json or url.", param="response_format")
        if self.output_format != "png":
            raise Unsupported("Pictures come as png only.", param="output_format")
        if self.background == "transparent":
            raise Unsupported("Pictures have no transparent background here.", param="background")


class EditBody(ImageBody, kw_only=True):
    """An edit, or a variation. In JSON, images are data URLs: ``images`` (OpenAI), ``image`` (Ollama)."""

    image: Any = None
    images: list[Any] = []
    mask: Any = None

    def pictures(self, files: Files) -> tuple[bytes, ...]:
        """What is to be edited, one picture at least."""
        given = self.image if isinstance(self.image, list) else [self.image] if self.image else []
        urls = [*given, *self.images]
        uploads = [checked_image(file, "image") for file in files.get("image", ())]
        pictures = uploads or [_picture(one, "image") for one in urls]
        if not pictures:
            raise InvalidRequest("image is required", param="image")
        if len(pictures) > MAX_IMAGES:
            raise InvalidRequest(f"At most {MAX_IMAGES} images are taken.", param="image")
        return tuple(pictures)

    async def masked(self, files: Files) -> bytes:
        """Where to paint; empty for everywhere."""
        mask = files["mask"][0] if "mask" in files else _picture(self.mask, "mask") if self.mask else b""
        return await painted_white(mask) if mask else b""


def _picture(given: Any, param: str) -> bytes:
    """A data URL, or an object that holds one."""
    url = given.get("image_url") if isinstance(given, dict) else given
    if not isinstance(url, str):
        raise InvalidRequest("An image is a data URL (data:image/png;base64,…).", param=param)
    return image_of(url, param)
