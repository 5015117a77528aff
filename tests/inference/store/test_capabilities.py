from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.models import ModelRecord
from inference.store.architectures import EMBEDDING, TEXT, VISION
from inference.store.capabilities import LARGEST_TOKENS, capabilities_detect
from inference.store.listing import folder_list
from inference.store.refresh import FILE, VERSION, models_refresh
from inference.store.services import model_take_folder
from tests.inference.store.builders import copied

PLAIN = "{% for message in messages %}{{ message.content }}{% endfor %}"
TOOLS = PLAIN + "{% if tools %}{{ tools }}{% endif %}"
THINKING = PLAIN + "{% if enable_thinking %}<think>{% endif %}"
BOTH = TOOLS + THINKING


@pytest.fixture
def home(tmp_path: Path, settings) -> Path:
    settings.HOME = tmp_path / "home"
    settings.HOME.mkdir()
    return settings.HOME


def detected(
    folder: Path, files: dict[str, object], kind=TEXT, config: dict | None = None
) -> tuple[str, ...]:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return capabilities_detect(kind, config or {}, folder_list(folder))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, ("completion",)),
        ({"chat_template.jinja": PLAIN}, ("completion",)),
        ({"chat_template.jinja": TOOLS}, ("completion", "tools")),
        ({"chat_template.jinja": THINKING}, ("completion", "thinking")),
        ({"chat_template.json": {"chat_template": BOTH}}, ("completion", "tools", "thinking")),
        ({"tokenizer_config.json": {"chat_template": BOTH}}, ("completion", "tools", "thinking")),
        (
            {
                "tokenizer_config.json": {
                    "chat_template": [
                        {"name": "default", "template": PLAIN},
                        {"name": "tool_use", "template": TOOLS},
                    ]
                }
            },
            ("completion", "tools"),
        ),
        (
            {"chat_template.jinja": PLAIN, "additional_chat_templates/tool_use.jinja": TOOLS},
            ("completion", "tools"),
        ),
        # The file is what transformers reads, where both are there.
        ({"chat_template.jinja": PLAIN, "tokenizer_config.json": {"chat_template": TOOLS}}, ("completion",)),
        (
            {"chat_template.json": {}, "tokenizer_config.json": {"chat_template": TOOLS}},
            ("completion", "tools"),
        ),
        ({"chat_template.jinja": "{% if"}, ("completion",)),
        ({"tokenizer_config.json": "not JSON"}, ("completion",)),
        ({"tokenizer_config.json": {"chat_template": [1, {"template": 2}, None]}}, ("completion",)),
        ({"tokenizer_config.json": {"chat_template": 5}}, ("completion",)),
    ],
)
def test_what_the_template_says(tmp_path: Path, files: dict[str, object], found: tuple[str, ...]) -> None:
    assert detected(tmp_path, files) == found


def test_the_tokens_say_whether_it_fills_in(tmp_path: Path) -> None:
    tokens = {"<|fim_prefix|>": 1, "<|fim_suffix|>": 2, "<|fim_middle|>": 3}
    added = [{"id": index, "content": token} for token, index in tokens.items()]
    assert detected(tmp_path / "a", {"vocab.json": tokens}) == ("completion", "insert")
    assert detected(tmp_path / "b", {"tokenizer.json": {"added_tokens": added}}) == ("completion", "insert")
    assert detected(tmp_path / "c", {"tokenizer.json": {"added_tokens": added[:2]}}) == ("completion",)
    wide = {"<｜fim▁begin｜>": 1, "<｜fim▁hole｜>": 2, "<｜fim▁end｜>": 3}
    assert detected(tmp_path / "d", {"vocab.json": wide}) == ("completion", "insert")
    plain = json.dumps(wide, ensure_ascii=False)
    assert detected(tmp_path / "e", {"vocab.json": plain}) == ("completion", "insert")
    assert detected(tmp_path / "f", {"vocab.json": "x" * LARGEST_TOKENS + plain}) == ("completion",)


def test_what_it_sees_and_hears_comes_in_ollamas_order(tmp_path: Path) -> None:
    files = {"chat_template.jinja": BOTH}
    config = {"thinker_config": {"audio_config": {}}}
    expected = ("completion", "tools", "vision", "thinking", "audio")
    assert detected(tmp_path, files, VISION, config) == expected
    assert detected(tmp_path, files, VISION, {"audio_config": {}}) == expected
    assert detected(tmp_path, files, TEXT, {"audio_config": {}}) == ("completion", "tools", "thinking")
    assert detected(tmp_path, files, EMBEDDING) == EMBEDDING.capabilities


@pytest.mark.django_db
def test_a_model_that_is_taken_in_has_its_capabilities(store: Path, llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path / "thinker")
    (folder / "chat_template.jinja").write_text(BOTH)
    record = model_take_folder(folder=folder, name="org/thinker").record
    assert record.capabilities == ["completion", "tools", "thinking"]


@pytest.mark.django_db
def test_models_of_an_older_version_are_described_again_once(
    store: Path, home: Path, llama: Path, tmp_path: Path
) -> None:
    folder = copied(llama, tmp_path / "thinker")
    (folder / "chat_template.jinja").write_text(BOTH)
    record = model_take_folder(folder=folder, name="org/thinker").record
    gone = ModelRecord.objects.create(
        name="org/gone", source="store", folder="gone", capabilities=["completion"]
    )
    ModelRecord.objects.filter(pk=record.pk).update(capabilities=["completion"])
    said: list[str] = []
    models_refresh(said.append)
    again = ModelRecord.objects.get(pk=record.pk)
    assert again.capabilities == ["completion", "tools", "thinking"]
    assert again.modified == record.modified
    assert ModelRecord.objects.get(pk=gone.pk).capabilities == ["completion"]
    assert len(said) == 1
    ModelRecord.objects.filter(pk=record.pk).update(capabilities=[])
    models_refresh(said.append)
    assert ModelRecord.objects.get(pk=record.pk).capabilities == []
    assert len(said) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("content", ["", "x", "0", "\u00e9"])
def test_a_mark_that_says_nothing_is_no_mark(store: Path, home: Path, content: str) -> None:
    (home / FILE).write_text(content)
    ModelRecord.objects.create(name="org/gone", source="store", folder="gone")
    said: list[str] = []
    models_refresh(said.append)
    assert len(said) == 1
    assert (home / FILE).read_text() == f"{VERSION}\n"


@pytest.mark.django_db
def test_without_models_nothing_is_written(store: Path, home: Path) -> None:
    models_refresh(lambda said: pytest.fail(said))
    assert not (home / FILE).exists()
