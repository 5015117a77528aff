"""create, show and rm, and the mission's workflow down to the sampler."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.test import AsyncClient

from aliases.models import Alias
from inference.engine.config import EngineConfig
from inference.engine.handlers import text
from inference.engine.rows import DEFAULTS
from inference.engine.sampler import BatchSampler
from inference.engine.server import EngineServer
from inference.models import ModelRecord
from inference.protocol import Options
from inference.providers.registry import get_provider
from tests.engine.engines import engine_of

pytestmark = pytest.mark.django_db(transaction=True)
MODEL = "mistralai/Mistral-7B-Instruct-v0.3"
TEMPLATE = "{% for message in messages %}[{{ message.content }}]{% endfor %}"
CREATE = (
    *(
        "--alias",
        "mistral-instruct",
        "--model",
        MODEL,
        "--system",
        "You are a helpful and creative assistant.",
    ),
    *("--temperature", "0.7", "--load-in-8bit", "--stop", "<|eot_id|>"),
)


@pytest.fixture
def record(tmp_path: Path, tiny_llama: Path, models_root: Path) -> ModelRecord:
    """A tiny model whose makers recommend how to sample it."""
    folder = models_root / f"recommended-{tmp_path.name}"
    shutil.copytree(tiny_llama, folder)
    recommended = folder / "generation_config.json"
    config = json.loads(recommended.read_text()) if recommended.exists() else {}
    config |= {"do_sample": True, "temperature": 0.3, "top_k": 17, "top_p": 0.5}
    recommended.write_text(json.dumps(config))
    return ModelRecord.objects.create(
        name=MODEL,
        source="hub",
        folder=str(folder),
        architecture="llama",
        digest="0",
        capabilities=["completion"],
    )


def run(command: str, *arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command(command, *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.fixture
async def sampled(
    tmp_path: Path, models_root: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[tuple[Options, str]]]:
    """A real engine behind its socket; with what each token was drawn by."""
    drawn: list[tuple[Options, str]] = []

    class Watched(BatchSampler):
        def draw(self, logits: Any, rows: Any) -> list[int]:
            drawn.extend((row.options, row.owner) for row in rows)
            return super().draw(logits, rows)

    monkeypatch.setattr(text, "BatchSampler", Watched)
    address = tmp_path / "e.sock"
    settings.ENGINE_ADDRESS = f"unix:{address}"
    get_provider.cache_clear()
    config = EngineConfig(
        address=str(address), model_roots=(str(models_root),), cache="", precision="float32", device="cpu"
    )
    engine = engine_of(config)
    async with EngineServer(engine, address):
        yield drawn
    await engine.close()
    get_provider.cache_clear()


async def test_the_missions_workflow_reaches_the_sampler(
    record: ModelRecord, sampled: list[tuple[Options, str]]
) -> None:
    await sync_to_async(run)("create", *CREATE)
    body = {
        "model": "mistral-instruct",
        "messages": [{"role": "user", "content": "Write a short poem about APIs"}],
        "stream": False,
        "options": {"top_p": 0.95, "num_predict": 3},
    }
    answer = await AsyncClient().post("/api/chat", body, content_type="application/json")
    assert answer.status_code == 200, answer.content
    options, _ = sampled[-1]
    from_the_request = (options.top_p, options.num_predict)
    from_the_alias = (options.temperature, options.stop)
    from_the_model = options.top_k
    from_the_server = (options.repeat_last_n, options.repeat_penalty)
    assert from_the_request == (0.95, 3)
    assert from_the_alias == (0.7, ("<|eot_id|>",))
    assert from_the_model == 17
    assert from_the_server == (64, 1.0)
    (loaded,) = await get_provider("huggingface").loaded()
    assert loaded.name == "mistral-instruct"
    assert "8" in json.dumps((await AsyncClient().get("/api/ps")).json()["models"][0]["details"])


# What a request, an alias, and the alias that it names may each say of an option.
VALUES: dict[str, tuple[Any, Any, Any]] = {
    "num_predict": (1, 2, 3),
    "num_ctx": (600, 601, 602),
    "num_keep": (1, 2, 3),
    "temperature": (1.1, 1.2, 1.3),
    "top_k": (5, 6, 7),
    "top_p": (0.91, 0.92, 0.93),
    "min_p": (0.01, 0.02, 0.03),
    "typical_p": (0.81, 0.82, 0.83),
    "repeat_last_n": (5, 6, 7),
    "repeat_penalty": (1.01, 1.02, 1.03),
    "presence_penalty": (0.1, 0.2, 0.3),
    "frequency_penalty": (0.1, 0.2, 0.3),
    "logit_bias": ({"5": 0.1}, {"5": 0.2}, {"5": 0.3}),
    "seed": (1, 2, 3),
    "stop": (["one"], ["two"], ["three"]),
    "ignore_eos": (False, True, False),
}


@pytest.mark.parametrize("turn", range(4))
async def test_every_option_comes_from_the_first_layer_that_says_it(
    record: ModelRecord, sampled: list[tuple[Options, str]], turn: int
) -> None:
    assert set(VALUES) == set(Options.__struct_fields__)
    said: list[dict[str, Any]] = [{}, {}, {}]
    expected: dict[str, Any] = {}
    recommended = Options(temperature=0.3, top_k=17, top_p=0.5)
    for place, (name, values) in enumerate(VALUES.items()):
        first = (place + turn) % 4
        # What a layer says, those behind it say too: it has to win over them.
        for layer in range(first, 3):
            said[layer][name] = values[layer]
        expected[name] = values[first] if first < 3 else getattr(recommended.over(DEFAULTS), name)
    request, outer, inner = said
    await Alias.objects.acreate(name="inner", model=MODEL, options=inner)
    await Alias.objects.acreate(name="outer", model="inner", options=outer)
    body = {
        "model": "outer",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
        "options": {"num_predict": 2, **request},
    }
    expected["num_predict"] = body["options"]["num_predict"]  # type: ignore[index]
    answer = await AsyncClient().post("/api/chat", body, content_type="application/json")
    assert answer.status_code == 200, answer.content
    options, _ = sampled[-1]
    assert options == msgspec.convert(expected, Options, str_keys=True)


def test_create_takes_every_option(record: ModelRecord) -> None:
    flags = {
        "--max-new-tokens": ("num_predict", 9),
        "--ctx": ("num_ctx", 256),
        "--top-p": ("top_p", 0.9),
        "--top-k": ("top_k", 5),
        "--min-p": ("min_p", 0.1),
        "--repetition-penalty": ("repeat_penalty", 1.1),
        "--presence-penalty": ("presence_penalty", 0.2),
        "--frequency-penalty": ("frequency_penalty", 0.3),
        "--seed": ("seed", 4),
    }
    arguments = [str(part) for flag, (_, value) in flags.items() for part in (flag, value)]
    run(
        "create",
        *CREATE,
        *arguments,
        *("--stop", "User:", "--json-mode", "--keep-alive", "1h", "--fallback", "smollm2"),
        *("--dtype", "float32", "--device", "cpu", "--template", TEMPLATE),
    )
    alias = Alias.objects.get()
    wanted = dict(flags.values())
    assert alias.options == wanted | {"temperature": 0.7, "stop": ["<|eot_id|>", "User:"]}
    assert (alias.quantization, alias.json_mode, alias.keep_alive) == ("int8", True, "1h")
    assert alias.fallbacks == ["smollm2"]
    assert (alias.dtype, alias.device, alias.template) == ("float32", "cpu", TEMPLATE)
    run("create", *CREATE)
    assert Alias.objects.get().json_mode is False


def test_a_template_may_be_a_file(record: ModelRecord, tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text(TEMPLATE)
    run("create", *CREATE, "--template", str(tmp_path / "t.jinja"))
    assert Alias.objects.get().template == TEMPLATE
    assert TEMPLATE in run("show", "mistral-instruct", "--modelfile")[0]
    shown = json.loads(run("show", "mistral-instruct", "--json")[0])
    assert (shown["template"], shown["alias"]["template"]) == (TEMPLATE, TEMPLATE)


def test_show_says_the_same_for_people_for_ollama_and_for_programs(record: ModelRecord) -> None:
    run("create", *CREATE)
    shown = json.loads(run("show", "mistral-instruct", "--json")[0])
    assert shown["alias"]["options"] == shown["options"] == {"temperature": 0.7, "stop": ["<|eot_id|>"]}
    modelfile, _ = run("show", "mistral-instruct", "--modelfile")
    assert f"FROM {MODEL}" in modelfile
    assert "PARAMETER temperature 0.7" in modelfile


def test_a_modelfile_makes_an_alias_and_options_besides_it_win(record: ModelRecord, tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_text(
        f"FROM {MODEL}\nPARAMETER top_k 3\nPARAMETER seed 1\nPARAMETER num_gpu 1"
    )
    out, err = run("create", "--alias", "m", "--file", str(tmp_path / "Modelfile"), "--seed", "2")
    assert out == "m\n"
    assert "num_gpu" in err
    assert Alias.objects.get().options == {"top_k": 3, "seed": 2}


def test_a_registry_makes_all_of_its_aliases(tmp_path: Path) -> None:
    (tmp_path / "registry.json").write_text(json.dumps({"a": {"model": "x/y"}, "b": {"model": "x/y"}}))
    assert run("create", "--registry", str(tmp_path / "registry.json"))[0] == "a\nb\n"


def test_rm_removes_aliases_and_says_what_is_none(record: ModelRecord) -> None:
    run("create", *CREATE)
    with pytest.raises(CommandError, match="is a model"):
        run("rm", MODEL)
    with pytest.raises(CommandError, match="no alias 'gone'"):
        run("rm", "gone")
    assert "Removed" in run("rm", "Mistral-Instruct:latest")[0]
    assert not Alias.objects.exists()


def test_rm_leaves_no_alias_without_its_model(record: ModelRecord) -> None:
    run("create", *CREATE)
    Alias.objects.create(name="outer", model="mistral-instruct")
    with pytest.raises(CommandError, match="^mistral-instruct is what outer stands for"):
        run("rm", "mistral-instruct")
    run("rm", "mistral-instruct", "outer")
    assert not Alias.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--alias", "x"), "Say what"),
        (("--alias", "x", "--model", "org/gone"), "manage.py pull"),
        (("--alias", "x", "--model", MODEL, "--top-p", "2"), "out of range"),
        (("--alias", "a b", "--model", MODEL), "invalid model name"),
        (("--alias", "x", "--file", "/nowhere/Modelfile"), "cannot be read"),
        (("--alias", MODEL, "--model", MODEL), "is a model"),
        (("--alias", "x", "--model", MODEL, "--device", "gpu"), "no device 'gpu'"),
        (
            ("--alias", "x", "--model", MODEL, "--template", "/nowhere/t.jinja"),
            "neither a template nor a file",
        ),
        (("--alias", "x", "--model", MODEL, "--template", "{{ .Prompt }}"), "write it in Jinja"),
    ],
)
def test_create_says_what_is_wrong(record: ModelRecord, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run("create", *arguments)
