"""Modelfiles as they are found, and as we write them ourselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliases.modelfile import modelfile_text
from aliases.modelfile_reader import modelfile_read
from aliases.target import Target
from inference.durations import duration
from inference.errors import InvalidRequest
from inference.models import ModelRecord
from inference.protocol import Message, ModelRef, Options

FOUND = '''# A Modelfile as people write them
FROM mistralai/Mistral-7B
TEMPLATE """{% for message in messages %}
{{ message.content }}{% endfor %}"""
SYSTEM """
You are Mario.
Assume the role of Mario."""
PARAMETER temperature 0.7
parameter num_ctx 4096
PARAMETER stop "<|eot_id|>"
PARAMETER stop User:
PARAMETER num_gpu 33
MESSAGE user Is Toronto in Canada?
MESSAGE assistant yes
LICENSE MIT
'''


def test_what_people_write_is_understood() -> None:
    read = modelfile_read(FOUND)
    assert read.source == "mistralai/Mistral-7B"
    assert read.settings.system == "\nYou are Mario.\nAssume the role of Mario."
    assert read.settings.options == Options(temperature=0.7, num_ctx=4096, stop=("<|eot_id|>", "User:"))
    assert read.settings.messages == (
        Message(role="user", content="Is Toronto in Canada?"),
        Message(role="assistant", content="yes"),
    )
    assert read.settings.license == "MIT"
    assert read.settings.template == "{% for message in messages %}\n{{ message.content }}{% endfor %}"
    assert read.left_out == ("PARAMETER num_gpu",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "FROM"),
        ("SYSTEM hi", "FROM"),
        ("FROM a\nnonsense", "Line 2"),
        ("FROM a\nDANCE now", "Line 2"),
        ('FROM a\nSYSTEM """never', "never closed"),
        ("FROM a\nPARAMETER top_p 7", "out of range"),
        ("FROM a\nPARAMETER top_k many", "out of range"),
        ("FROM a\nMESSAGE narrator once", "narrator"),
        ('FROM a\nTEMPLATE """{{ if .System }}{{ .System }}{{ end }}"""', "write it in Jinja"),
        ("FROM a\nTEMPLATE {{ .Prompt }}", "one of Go's"),
        ("FROM a\nTEMPLATE {% for", "no Jinja"),
        ("FROM a\nTEMPLATE Hello", "never reads messages"),
    ],
)
def test_what_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        modelfile_read(text)


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters='"\r\v\f\x1c\x1d\x1e\x85\u2028\u2029'), max_size=60
)


@given(
    system=TEXTS.map(str.strip),
    message=st.text(max_size=40),
    stops=st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=3),
    temperature=st.floats(0, 100, allow_nan=False),
)
def test_what_we_write_reads_the_same(
    system: str, message: str, stops: list[str], temperature: float
) -> None:
    options = Options(temperature=temperature, stop=tuple(stops), seed=-3)
    target = Target(
        provider="huggingface",
        model=ModelRef(name="small", path=""),
        record=ModelRecord(name="org/model"),
        system=system,
        options=options,
        messages=(Message(role="user", content=message),),
    )
    read = modelfile_read(modelfile_text(target, "", ""))
    assert read.source == "org/model"
    assert (read.settings.system or "") == system
    assert read.settings.options == options
    assert read.settings.messages == target.messages


@pytest.mark.parametrize("keep_alive", [-1.0, 0.0, 0.5, 90.0, 1e6])
def test_how_a_model_is_loaded_is_carried(keep_alive: float) -> None:
    target = Target(
        provider="huggingface",
        model=ModelRef(name="small", path="", quantization="int8", dtype="float32", device="cuda:1"),
        record=ModelRecord(name="org/model"),
        format="json",
        keep_alive=keep_alive,
    )
    settings = modelfile_read(modelfile_text(target, "", "")).settings
    assert (settings.quantization, settings.dtype, settings.device) == ("int8", "float32", "cuda:1")
    assert settings.json_mode is True
    assert duration(settings.keep_alive or "") == keep_alive


def test_what_is_as_usual_is_not_said() -> None:
    target = Target("huggingface", ModelRef(name="small", path=""), ModelRecord(name="org/model"))
    assert "PARAMETER" not in modelfile_text(target, "", "")


@pytest.mark.parametrize("line", ["quantization int3", "dtype float8", "device tpu", "json_mode perhaps"])
def test_no_way_to_load_a_model_is_refused(line: str) -> None:
    with pytest.raises(InvalidRequest, match=line.partition(" ")[0]):
        modelfile_read(f"FROM a\nPARAMETER {line}")
