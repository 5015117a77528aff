"""Pictures over a real server, driven by OpenAI's client."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from typing import Any

import openai
import pytest
from PIL import Image

from inference.errors import InferenceError
from inference.protocol import Done, Draw, Drawing, Failed, Picture
from tests.api.openai.conftest import MODEL, PICTURES, Stage

PNG = b"\x89PNG\r\n\x1a\n"
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
TWO = (
    Drawing(done=1, total=2),
    Picture(data=PNG + b"1", seed=1),
    Drawing(done=2, total=2),
    Picture(data=PNG + b"2", seed=2),
    Done(reason="stop"),
)


@pytest.fixture(autouse=True)
def _drawing(stage: Stage) -> None:
    stage.plays(*TWO)


def mask(alpha: bool) -> bytes:
    """Left half transparent, or left half white."""
    image = Image.new("RGBA" if alpha else "L", (2, 1), (0, 0, 0, 255) if alpha else 0)
    image.putpixel((0, 0), (0, 0, 0, 0) if alpha else 255)
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def decoded(answer: Any) -> list[bytes]:
    return [base64.b64decode(image.b64_json) for image in answer.data]


def test_generations(stage: Stage) -> None:
    answer = stage.client.images.generate(
        model=PICTURES,
        prompt="a cat",
        n=2,
        size="512x256",
        quality="high",
        extra_body={"seed": 7, "steps": 4, "guidance": 2.5, "negative_prompt": "dogs", "keep_alive": 0},
    )
    assert decoded(answer) == [PNG + b"1", PNG + b"2"]
    asked = stage.asked(Draw)
    assert (asked.prompt, asked.count, asked.width, asked.height) == ("a cat", 2, 512, 256)
    assert (asked.seed, asked.steps, asked.guidance, asked.negative_prompt) == (7, 4, 2.5, "dogs")
    assert asked.keep_alive == 0


def test_urls_hold_the_picture_itself(stage: Stage) -> None:
    answer = stage.client.images.generate(model=PICTURES, prompt="a cat", response_format="url")
    assert answer.data
    assert answer.data[0].url == "data:image/png;base64," + base64.b64encode(PNG + b"1").decode()
    assert (stage.asked(Draw).width, stage.asked(Draw).height) == (0, 0)


def test_a_stream_has_an_event_for_each_picture(stage: Stage) -> None:
    events = list(stage.client.images.generate(model=PICTURES, prompt="a cat", n=2, stream=True))
    assert [event.type for event in events] == ["image_generation.completed"] * 2
    assert [base64.b64decode(event.b64_json) for event in events] == [PNG + b"1", PNG + b"2"]
    stage.plays(Drawing(done=1, total=2), Failed.of(InferenceError("It broke.")))
    with pytest.raises(openai.APIError, match="It broke"):
        list(stage.client.images.generate(model=PICTURES, prompt="a cat", stream=True))


def test_edits_as_the_client_sends_them(stage: Stage) -> None:
    answer = stage.client.images.edit(
        model=PICTURES, image=PNG, mask=mask(alpha=True), prompt="a hat", n=2, size="64x64"
    )
    assert decoded(answer) == [PNG + b"1", PNG + b"2"]
    asked = stage.asked(Draw)
    assert (asked.images, asked.prompt, asked.count, asked.width) == ((PNG,), "a hat", 2, 64)
    painted = Image.open(BytesIO(asked.mask))
    assert [painted.getpixel((x, 0)) for x in (0, 1)] == [255, 0], "white where it was transparent"
    stage.client.images.edit(model=PICTURES, image=[PNG, PNG + b"b"], prompt="both")
    assert stage.asked(Draw).images == (PNG, PNG + b"b")


@pytest.mark.parametrize(
    "images", [{"image": PNG_URL}, {"image": [PNG_URL]}, {"images": [{"image_url": PNG_URL}]}]
)
def test_edits_as_json(stage: Stage, images: Any) -> None:
    url = "data:image/png;base64," + base64.b64encode(mask(alpha=False)).decode()
    status, _, text = stage.post(
        "/v1/images/edits", {"model": PICTURES, "prompt": "a hat", "strength": 0.5, "mask": url, **images}
    )
    assert (status, len(json.loads(text)["data"])) == (200, 2)
    asked = stage.asked(Draw)
    assert (asked.images, asked.strength, asked.mask) == ((PNG,), 0.5, mask(alpha=False))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_variations(stage: Stage) -> None:
    answer = stage.client.images.create_variation(model=PICTURES, image=PNG, n=2)
    assert len(decoded(answer)) == 2
    assert (stage.asked(Draw).images, stage.asked(Draw).prompt) == ((PNG,), "")


@pytest.mark.parametrize(("said", "seconds"), [("300", 300), ("1e-06", 1e-6), ("5m", 300), ("-1", -1)])
def test_a_form_may_say_seconds(stage: Stage, said: str, seconds: float) -> None:
    stage.client.images.edit(model=PICTURES, image=PNG, prompt="a hat", extra_body={"keep_alive": said})
    assert stage.asked(Draw).keep_alive == seconds


@pytest.mark.parametrize("path", ["edits", "variations"])
def test_a_mask_is_kept_to_and_never_passed_over(stage: Stage, path: str) -> None:
    ask = {"model": PICTURES, "prompt": "a hat", "image": PNG_URL}
    url = "data:image/png;base64," + base64.b64encode(mask(alpha=False)).decode()
    assert stage.post(f"/v1/images/{path}", {**ask, "mask": url})[0] == 200
    assert stage.asked(Draw).mask == mask(alpha=False)
    for wrong in ("", "x", PNG_URL):
        status, _, text = stage.post(f"/v1/images/{path}", {**ask, "mask": wrong})
        assert (status, json.loads(text)["error"]["param"]) == (400, "mask")
    assert len(stage.engine.requests) == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": 1}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"size": "big"}, "size"),
        ({"size": "0x5"}, "size"),
        ({"size": "8192x8"}, "size"),
        ({"steps": 501}, "steps"),
        ({"response_format": "file"}, "response_format"),
        ({"output_format": "webp"}, "output_format"),
        ({"background": "transparent"}, "background"),
        ({"model": ""}, "model"),
        ({"model": MODEL}, "model"),
    ],
)
def test_what_is_wrong_is_a_400_that_names_the_field(stage: Stage, body: Any, param: str) -> None:
    status, _, text = stage.post("/v1/images/generations", {"model": PICTURES, "prompt": "a cat", **body})
    assert (status, json.loads(text)["error"]["param"]) == (400, param)
    assert stage.engine.requests == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "image"),
        ({"image": "https://example.org/a.png"}, "image"),
        ({"image": 1}, "image"),
        ({"images": [{"file_id": "file-1"}]}, "images[0].image_url"),
        ({"image": [PNG_URL] * 17}, "image"),
        ({"image": PNG_URL, "mask": PNG_URL}, "mask"),
    ],
)
def test_wrong_edits(stage: Stage, body: Any, param: str) -> None:
    status, _, text = stage.post("/v1/images/edits", {"model": PICTURES, "prompt": "a hat", **body})
    assert (status, json.loads(text)["error"]["param"]) == (400, param)
    assert stage.engine.requests == []


@pytest.mark.parametrize("n", ["two", "99"])
def test_a_form_with_a_wrong_field(stage: Stage, n: Any) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        stage.client.images.edit(model=PICTURES, image=PNG, prompt="a hat", n=n)
    assert error.value.param == "n"


def test_a_broken_form_is_a_400(stage: Stage) -> None:
    for kind in (
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=\xff",
    ):
        status, _, text = stage.request(
            "POST", "/v1/images/edits", b"--x\r\nnonsense", {"Content-Type": kind}
        )
        assert (status, json.loads(text)["error"]["type"]) == (400, "invalid_request_error")
    assert "Traceback" not in stage.server.output(), "a client's mistake is nothing to look into"
