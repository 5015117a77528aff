"""A GGUF file of a repository on the Hub, made into a model in the store.

The file is named after a colon, as Ollama's clients do: ``org/name:file.gguf``, or by the
quantization in its name, ``org/name:Q4_K_M``. Converting makes its weights bfloat16 again: they
take more room than the file, and load like any others.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from django.conf import settings

from inference.errors import InvalidRequest, NotFound
from inference.store.conversion import gguf_convert
from inference.store.drafts import room_check, scratch_folder
from inference.store.errors import ModelRefused, disk_errors
from inference.store.fetching import files_fetch, files_plan
from inference.store.repository import PATIENCE_SECONDS, Repository, repository_ask
from inference.store.services import Taken, model_take_folder
from inference.store.watch import Watch

SUFFIX = ".gguf"
NAMES_SHOWN = 10
# Of a file with four bits for each weight.
GROWTH = 4
CONVERTING = "Converting the model, which takes a minute for each billion of its parameters."
_SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf\Z")


def gguf_pull(
    *,
    name: str,
    wanted: str,
    revision: str | None = None,
    patience: float = PATIENCE_SECONDS,
    watch: Watch,
) -> Taken:
    """Take the file ``wanted`` of the repository ``name`` as the model ``name:wanted``."""
    repository = repository_ask(name, revision, patience, watch)
    file = file_choose(repository.files, wanted)
    _refuse_unknown(repository)
    files_plan(repository, [file], watch)
    room_check(Path(settings.MODELS_PATH), GROWTH * repository.files[file].size)
    files_fetch(repository, [file], watch)
    watch.step("converting", CONVERTING)
    source = repository.folder.snapshot(repository.commit) / file
    with disk_errors(), scratch_folder(Path(settings.MODELS_PATH)) as folder:
        gguf_convert(source=source, target=folder / "model")
        watch.check()
        return model_take_folder(folder=folder / "model", name=f"{name}:{wanted}", license=repository.license)


def file_choose(files: Collection[str], wanted: str) -> str:
    """The GGUF file that ``wanted`` names, by its name or its quantization, whatever the case."""
    there = sorted(name for name in files if name.lower().endswith(SUFFIX))
    named = [name for name in there if _matches(PurePosixPath(name).name.lower(), wanted.lower())]
    shown = ", ".join((named or there)[:NAMES_SHOWN]) or "none"
    if not named:
        raise NotFound(f"The repository has no GGUF file {wanted}. There are: {shown}.")
    if any(_SPLIT.search(name) for name in named):
        raise ModelRefused(f"{wanted} is split into several files, which cannot be read. Choose another one.")
    if len(named) > 1:
        raise InvalidRequest(f"{wanted} may be any of {shown}. Write the whole name of the file.")
    return named[0]


def _matches(name: str, wanted: str) -> bool:
    if wanted.endswith(SUFFIX):
        return name == wanted
    return re.search(rf"(?:\A|[-._]){re.escape(wanted)}(?=[-._])", name) is not None


def _refuse_unknown(repository: Repository) -> None:
    """Before gigabytes are fetched, where the Hub tells what is in the file."""
    architecture = repository.gguf_architecture
    if architecture and _plain(architecture) not in gguf_architectures():
        raise ModelRefused(
            f"GGUF files of the architecture '{architecture[:64]}' cannot be converted. "
            "Pull the model that they were made from."
        )


@cache
def gguf_architectures() -> frozenset[str]:
    """The architectures that the installed transformers reads from GGUF files, without importing it.

    GGUF and transformers write some of them differently: all are given without dashes.
    """
    spec = find_spec("transformers")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent / "integrations" / "ggml.py"
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="GGUF_CONFIG_MAPPING")], value=ast.Dict(keys=keys)):
                return frozenset(_plain(ast.literal_eval(key)) for key in keys if key is not None)
    return frozenset()


def _plain(architecture: str) -> str:
    return architecture.lower().replace("-", "").replace("_", "")
