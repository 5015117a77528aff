"""Image pipelines of diffusers, told from their files: family, tasks, parts, weights.

A pipeline is a folder with a ``model_index.json`` that names its class and, for each folder inside, the
library and class that load it. Which classes there are is read from the installed diffusers' tables,
literals in ``diffusers/pipelines/auto_pipeline.py``, without importing it: the web process must never.
The store checks by it what is taken in, the engine what it is about to load.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, Literal

Task = Literal["text", "image", "inpaint"]

PIPELINE = "model_index.json"
TABLES: dict[str, Task] = {
    "AUTO_TEXT2IMAGE_PIPELINES_MAPPING": "text",
    "AUTO_IMAGE2IMAGE_PIPELINES_MAPPING": "image",
    "AUTO_INPAINT_PIPELINES_MAPPING": "inpaint",
}
# They need several repositories, further inputs, or tell nobody how far they are.
LEFT_OUT = frozenset(
    {
        "cascade",
        "helios",
        "helios-pyramid",
        "if",
        "kandinsky",
        "kandinsky22",
        "pixart-alpha",
        "pixart-sigma",
        "pixart-sigma-pag",
        "qwenimage-layered",
        "wuerstchen",
    }
)
LIBRARIES = frozenset({"diffusers", "transformers"})
MOST_PARTS = 32
_NAME = re.compile(r"[A-Za-z]\w{0,79}")
# Parts of these classes have no weights; tokenizers are of `TokenizersBackend` where they say no more.
_WEIGHTLESS = ("Tokenizer", "TokenizerFast", "Backend", "Processor", "Scheduler", "Extractor")


@dataclass(frozen=True)
class Pipeline:
    """``classes`` that do the ``family``'s tasks, none of one that cannot be run; ``parts``, by folder, the
    classes that load them."""

    name: str
    family: str
    classes: Mapping[Task, str]
    parts: Mapping[str, str]

    def weighty(self) -> Iterator[str]:
        """The folders that must hold weights."""
        return (part for part, kind in self.parts.items() if not kind.endswith(_WEIGHTLESS))


def pipeline_of(index: Mapping[str, Any]) -> Pipeline:
    """The pipeline that a ``model_index.json`` describes.

    ``ValueError``, with a sentence for people, for one that diffusers does not know or whose parts are
    of other libraries: these would be imported.
    """
    name = index.get("_class_name")
    if not isinstance(name, str):
        raise ValueError("The pipeline needs Python code of its own, which HugWeb never runs.")  # noqa: TRY004
    family = _families().get(name)
    if family is None:
        raise ValueError(
            f"The pipeline '{name[:64]}' is none for pictures that diffusers {version('diffusers')} knows."
        )
    runs = family not in LEFT_OUT and "control" not in family
    return Pipeline(name, family, _tables()[family] if runs else {}, dict(_parts(index)))


def weights_of(names: Collection[str]) -> frozenset[str]:
    """Of the files of a pipeline, the weights that diffusers loads: in each folder those without a variant,
    such as ``fp16``, in their names, else those with one."""
    folders: dict[str, list[str]] = defaultdict(list)
    for name in names:
        path = PurePosixPath(name)
        if path.suffix == ".safetensors" and len(path.parts) == 2:
            folders[path.parts[0]].append(name)
    plain = {folder: [name for name in files if not variant_of(name)] for folder, files in folders.items()}
    return frozenset(name for folder, files in folders.items() for name in plain[folder] or files)


def variant_of(name: str) -> str:
    """The variant in the name of a file of weights, ``fp16`` in ``model.fp16-00001-of-00002.safetensors``."""
    _, _, rest = PurePosixPath(name).name.removesuffix(".safetensors").partition(".")
    return re.sub(r"-\d{5}-of-\d{5}", "", rest)


def pipeline_weights(folder: Path) -> tuple[Path, ...]:
    """The files of weights that diffusers loads of the pipeline in ``folder``."""
    names = (path.relative_to(folder).as_posix() for path in folder.glob("*/*.safetensors"))
    return tuple(folder / name for name in sorted(weights_of(tuple(names))))


def _parts(index: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Folder and class of each part; other values in the file are settings."""
    if len(index) > MOST_PARTS:
        raise ValueError(f"{PIPELINE} names more than {MOST_PARTS} parts.")
    for folder, value in index.items():
        if folder.startswith("_") or not isinstance(value, list) or value == [None, None]:
            continue
        if not _is_part(folder, value):
            raise ValueError(f"{PIPELINE} describes its part '{folder[:64]}' in a way that is not allowed.")
        yield folder, value[1]


def _is_part(folder: str, value: list[Any]) -> bool:
    if len(value) != 2 or not all(
        isinstance(name, str) and _NAME.fullmatch(name) for name in (folder, *value)
    ):
        return False
    library, kind = value
    # Some parts lie beside their pipelines; pipelines in pipelines could name anything again.
    return (library in LIBRARIES or (_diffusers() / library).is_dir()) and not kind.endswith("Pipeline")


@cache
def _families() -> dict[str, str]:
    return {name: family for family, classes in _tables().items() for name in classes.values()}


@cache
def _tables() -> dict[str, dict[Task, str]]:
    """The classes for each family's tasks."""
    found: dict[str, dict[Task, str]] = defaultdict(dict)
    tree = ast.parse((_diffusers() / "auto_pipeline.py").read_text(encoding="utf-8"))
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=table)], value=ast.Call(args=[ast.List(elts=pairs)])) if (
                table in TABLES
            ):
                for pair in pairs:
                    match pair:
                        case ast.Tuple(elts=[ast.Constant(value=str(family)), ast.Name(id=name)]):
                            found[family][TABLES[table]] = name
    return dict(found)


def _diffusers() -> Path:
    # Only the top package is looked up: looking up one inside of it would import it.
    spec = find_spec("diffusers")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pipelines"
