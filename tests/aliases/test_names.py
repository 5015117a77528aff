from __future__ import annotations

import pytest
from django.apps import apps
from django.db.models import CharField

from aliases.models import Alias
from aliases.names import canonical_name, full_name
from inference.errors import InvalidRequest
from inference.models import ModelRecord
from inference.store.names import LONGEST_NAME


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("smollm2", "smollm2"),
        ("smollm2:latest", "smollm2"),
        ("SmolLM2:LATEST", "SmolLM2"),
        ("Org/Model", "Org/Model"),
        ("Org/Model:latest", "Org/Model"),
        ("hf.co/Org/Model", "Org/Model"),
        ("huggingface.co/Org/Model:latest", "Org/Model"),
        ("registry.ollama.ai/library/llama3", "llama3"),
        ("model:8b", "model:8b"),
        ("https://huggingface.co/Org/Model", "Org/Model"),
        ("HF.co/Org/Model:q8", "Org/Model:q8"),
        ("ollama.com/library/llama3", "ollama.com/library/llama3"),
        ("localhost:5000/org/model:latest", "localhost:5000/org/model"),
        ("  spaced ", "spaced"),
    ],
)
def test_names_are_read_as_ollama_reads_them(written: str, meant: str) -> None:
    assert canonical_name(written) == meant


@pytest.mark.parametrize(
    "name",
    ["", " ", "/", "a/", "/a", "a b", "../etc", "a/../b", "a/b/c/d", "-x", "a:", "a" * 81, "a\nb", "☃"],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid model name"):
        canonical_name(name)


def test_a_name_in_full_has_a_tag() -> None:
    names = ("small", "org/model:8b", "localhost:5000/org/model")
    assert [full_name(name) for name in names] == [
        "small:latest",
        "org/model:8b",
        "localhost:5000/org/model:latest",
    ]


def test_the_longest_name_fits_wherever_one_is_kept() -> None:
    part = "x" * 80
    assert len(canonical_name(f"{part}/{part}:{part}")) == LONGEST_NAME
    ours = [kind for kind in apps.get_models() if not kind.__module__.startswith("django.")]
    columns = {field for kind in ours for field in kind._meta.fields if field.name in ("model", "alias")}
    columns |= {kind._meta.get_field("name") for kind in (Alias, ModelRecord)}
    assert {column.max_length for column in columns if isinstance(column, CharField)} == {LONGEST_NAME}
    assert len(columns) == 9
