"""The sample picture, for trying out a model that sees: ``python -m hugweb.sample`` draws it again.

The terminal takes it as ``--image sample``, the chat page offers it where the chosen model sees.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

NAME = "sample"
PATH = Path(__file__).parents[1] / "static" / "sample.png"
SIZE = (640, 480)
# Drawn larger, then made smaller, for smooth edges.
FINE = 3
SKY, GRASS, WALL, ROOF, DOOR = "#8ecae6", "#70a845", "#f4e1c1", "#c8402f", "#7a4b2a"
GLASS, SUN, TRUNK, LEAVES = "#dff1fb", "#ffc93c", "#7a4b2a", "#2f7d46"


def draw() -> Image:
    """A house with a red roof beside a tree, under the sun."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (SIZE[0] * FINE, SIZE[1] * FINE), SKY)
    pen = ImageDraw.Draw(picture)

    def fine(*points: int) -> list[int]:
        return [FINE * point for point in points]

    pen.rectangle(fine(0, 350, 640, 480), GRASS)
    pen.ellipse(fine(500, 40, 600, 140), SUN)
    pen.rectangle(fine(150, 220, 380, 400), WALL)
    pen.polygon(fine(120, 225, 265, 110, 410, 225), ROOF)
    pen.rectangle(fine(235, 300, 295, 400), DOOR)
    for left in (170, 320):
        pen.rectangle(fine(left, 250, left + 40, 290), GLASS, DOOR, 3 * FINE)
    pen.rectangle(fine(500, 290, 525, 410), TRUNK)
    pen.ellipse(fine(445, 180, 580, 320), LEAVES)
    return picture.resize(SIZE, Image.Resampling.BOX)


if __name__ == "__main__":
    draw().save(PATH, optimize=True)
