"""A picture that was drawn, as a file that says how it was made."""

from __future__ import annotations

import io

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from inference.protocol import Draw


def png_of(picture: Image.Image, request: Draw, seed: int) -> bytes:
    """A PNG that says how it was made, in the text ``parameters``, where other programs look for it."""
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    settings = {
        "Steps": request.steps or None,
        "CFG scale": request.guidance,
        "Seed": seed,
        "Size": f"{picture.width}x{picture.height}",
        "Denoising strength": request.strength,
        "Model": request.model.name,
    }
    lines.append(", ".join(f"{name}: {value}" for name, value in settings.items() if value is not None))
    info = PngInfo()
    info.add_text("parameters", "\n".join(lines).replace("\0", ""))
    file = io.BytesIO()
    picture.save(file, "PNG", pnginfo=info)
    return file.getvalue()
