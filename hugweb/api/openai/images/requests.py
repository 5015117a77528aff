"""``POST /v1/images/…``: what the bodies may say, and the requests that they are for us.

``seed``, ``steps``, ``guidance``, ``strength`` and ``negative_prompt`` are ours; ``quality``,
``style`` and the like are ignored.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Struct

from aliases.target import Target
from hugweb.api.durations import keep_alive_seconds
from hugweb.api.fields import KeepAlive, told
from hugweb.api.openai.forms import Files
from hugweb.api.openai.images.masks import painted_white
from hugweb.api.openai.parts import IMAGE_URL, checked_image, image_of
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import MAX_IMAGES, MAX_SAMPLES, MAX_STEPS, Draw

LARGEST = 4096
_SIZE = re.compile(r"(?P<width>\d{1,5})x(?P<height>\d{1,5})")

SIZE_PATTERN = "^(?:auto|(?:[1-9][0-9]{0,2}|[1-3][0-9]{3})x(?:[1-9][0-9]{0,2}|[1-3][0-9]{3}))$"


class ImageUrl(Struct, kw_only=True):
    """A data URL as an object."""

    image_url: Annotated[str, told(**IMAGE_URL)]


GivenImage = Annotated[str, told(**IMAGE_URL)] | ImageUrl


class ImageBody(Struct, kw_only=True):
    """What all of them share. The picture's format is PNG, inside the answer."""

    model: str = ""
    prompt: str = ""
    n: Annotated[int, Meta(ge=1, le=MAX_SAMPLES)] = 1
    size: Annotated[str, told(pattern=SIZE_PATTERN)] = "auto"
    response_format: Annotated[str, told(enum=["b64_json", "url"])] = "b64_json"
    output_format: Annotated[str, told(enum=["png"])] = "png"
    background: Annotated[str, told(**{"not": {"const": "transparent"}})] = "auto"
    stream: bool = False
    negative_prompt: str = ""
    steps: Annotated[int, Meta(ge=1, le=MAX_STEPS)] | None = None
    guidance: Annotated[float, Meta(ge=0, le=100)] | None = None
    strength: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    keep_alive: KeepAlive = None

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

    image: GivenImage | Annotated[list[GivenImage], told(maxItems=MAX_IMAGES)] | None = None
    images: Annotated[list[GivenImage], told(maxItems=MAX_IMAGES)] = []
    mask: GivenImage | None = None

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
        mask = (
            files["mask"][0] if "mask" in files else b"" if self.mask is None else _picture(self.mask, "mask")
        )
        return await painted_white(mask) if mask else b""


def _picture(given: str | ImageUrl, param: str) -> bytes:
    return image_of(given if isinstance(given, str) else given.image_url, param)
