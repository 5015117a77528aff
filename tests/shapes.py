"""Pictures of one shape in one colour, no two alike: what the tiny model in ``data/shapes`` names."""

from __future__ import annotations

import io
import math
import random

from PIL import Image, ImageDraw, ImageFilter

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (40, 70, 220),
    "yellow": (235, 210, 40),
    "purple": (140, 50, 170),
    "orange": (245, 135, 20),
}
SHAPES = ("circle", "square", "triangle", "star")
NAMES = [(colour, shape) for colour in COLOURS for shape in SHAPES]
BACKGROUNDS = [(250, 250, 250), (225, 225, 225), (60, 60, 60), (20, 20, 20), (200, 220, 225), (235, 225, 210)]
# Drawn larger, then made smaller, for smooth edges.
FINE = 3
CORNERS = {"square": 4, "triangle": 3}


def draw(colour: str, shape: str, seed: object) -> Image.Image:
    """A ``shape`` in about that ``colour``: place, size, angle, background and noise depend on ``seed``."""
    chance = random.Random(f"{colour} {shape} {seed}")
    width, height = chance.randint(48, 128), chance.randint(48, 128)
    if not 0.75 < width / height < 1.34:
        height = width
    radius = chance.uniform(0.24, 0.42) * min(width, height)
    x, y = (chance.uniform(radius, side - radius) for side in (width, height))
    picture = Image.new("RGB", (width * FINE, height * FINE), _near(chance.choice(BACKGROUNDS), chance, 8))
    points = [(FINE * (x + radius * dx), FINE * (y + radius * dy)) for dx, dy in _outline(shape, chance)]
    ImageDraw.Draw(picture).polygon(points, fill=_near(COLOURS[colour], chance, 18))
    picture = picture.resize((width, height), Image.Resampling.BOX)
    if chance.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(chance.uniform(0.2, 0.8)))
    return picture


def saved(picture: Image.Image, format: str = "PNG", **more: object) -> bytes:
    """``picture`` as a file."""
    file = io.BytesIO()
    picture.save(file, format, **more)
    return file.getvalue()


def _near(colour: tuple[int, int, int], chance: random.Random, far: int) -> tuple[int, ...]:
    return tuple(max(0, min(255, value + chance.randint(-far, far))) for value in colour)


def _outline(shape: str, chance: random.Random) -> list[tuple[float, float]]:
    """Points around the middle, at most 1 away."""
    if shape == "circle":
        return [(math.cos(angle * math.tau / 60), math.sin(angle * math.tau / 60)) for angle in range(60)]
    tilt = chance.uniform(-0.25, 0.25)
    if shape == "star":
        turns = [
            (tilt + (point / 10 - 0.25) * math.tau, 1.0 if point % 2 == 0 else 0.42) for point in range(10)
        ]
    else:
        corners = CORNERS[shape]
        start = tilt - math.tau / 4 + (math.tau / 8 if shape == "square" else 0)
        turns = [(start + corner * math.tau / corners, 1.0) for corner in range(corners)]
    return [(far * math.cos(angle), far * math.sin(angle)) for angle, far in turns]
