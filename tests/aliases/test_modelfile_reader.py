"""Modelfiles as they are found, and as we write them ourselves."""

from __future__ import annotations

import contextlib

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


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ('SYSTEM """Say "yes" or "no""""', 'Say "yes" or "no"'),
        ('SYSTEM """a """ b"""', 'a """ b'),
        ('SYSTEM """\n"""', "\n"),
        ('SYSTEM """"""', ""),
        ('SYSTEM   """ a """  ', " a "),
        ('SYSTEM "You are Mario.\nYou jump."', "You are Mario.\nYou jump."),
        ('SYSTEM "\nYou are Mario."', "\nYou are Mario."),
        ('SYSTEM "Hello" is what you say.', '"Hello" is what you say.'),
        ('SYSTEM "Hello\nPARAMETER stop "x"', '"Hello'),
        ('SYSTEM "Hello', '"Hello'),
        ('SYSTEM "a\\nb"', "a\nb"),
        ('SYSTEM "C:\\dir"', "C:\\dir"),
    ],
)
def test_quotes_are_those_of_ollama(text: str, system: str) -> None:
    """Which writes text of several lines between three quotes, or one if it has none itself."""
    assert modelfile_read(f"FROM a\n{text}").settings.system == system


def test_a_file_may_come_from_windows_and_have_tabs() -> None:
    read = modelfile_read(
        '\ufeffFROM\ta\r\nPARAMETER\ttop_k\t7\r\nMESSAGE user\t"""a\r\nb"""\r\nSYSTEM """c\r\nd"""\r\n'
    )
    assert (read.source, read.settings.options.top_k) == ("a", 7)
    assert (read.settings.system, read.settings.messages) == ("c\nd", (Message(role="user", content="a\nb"),))


def test_what_newer_versions_of_ollama_write_is_left_out() -> None:
    read = modelfile_read("FROM a\nRENDERER qwen3-coder\nPARSER qwen3-coder\nREQUIRES 0.14.0")
    assert read.left_out == ("RENDERER", "PARSER", "REQUIRES")


QUOTES = st.lists(st.sampled_from(['"', '"""', "\n", "\r", " ", "\\", "FROM b", "x"]), max_size=8).map(
    "".join
)
TEXTS = st.text(max_size=60) | QUOTES


@given(
    system=TEXTS,
    license=TEXTS,
    message=TEXTS,
    stops=st.lists(TEXTS.filter(bool), min_size=1, max_size=3),
    temperature=st.floats(0, 100, allow_nan=False),
)
def test_what_we_write_reads_the_same(
    system: str, license: str, message: str, stops: list[str], temperature: float
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
    read = modelfile_read(modelfile_text(target, "", license))
    assert read.source == "org/model"
    assert (read.settings.system or "") == system
    assert (read.settings.license or "") == license
    assert read.settings.options == options
    assert read.settings.messages == target.messages


WORDS = [
    "FROM a",
    "SYSTEM",
    "MESSAGE",
    "user",
    "PARAMETER",
    "stop",
    "top_k",
    "#",
    " ",
    "\n",
    '"',
    '"""',
    "\t",
    "7",
]


@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join) | st.text(max_size=60))
def test_whatever_it_holds_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert modelfile_read(text).source


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
