"""Which files of a folder or repository are taken, and which are left out.

An allow list: safetensors, configurations, tokenizer and processor files, templates. Pickles and
Python code, which could run when a model is loaded, are never taken. Knows nothing of what is in
the files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath

from inference.pipelines import PIPELINE, weights_of
from inference.store.errors import ModelRefused

SUFFIXES = (".safetensors", ".json", ".txt", ".model", ".jinja", ".tiktoken", ".spm")
# The same weights once more, for other programs.
DUPLICATES = ("original/*", "onnx/*", "openvino/*", "coreml/*", "metal/*", "consolidated*.safetensors")
MOST = 10_000


@dataclass(frozen=True)
class Listing:
    """The files of a model below ``root``, as sorted relative names, and what was left out."""

    root: Path
    files: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def path(self, name: str) -> Path:
        return self.root / name

    def below(self, root: Path) -> Listing:
        """The same files in another place."""
        return replace(self, root=root)

    def safetensors(self) -> tuple[str, ...]:
        return tuple(name for name in self.files if name.endswith(".safetensors"))


def names_sort(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names that are taken and those that are left out; hidden files are in neither."""
    shown = sorted(name for name in names if not _is_hidden(name))
    taken = set(filter(_is_taken, shown))
    if PIPELINE in taken:
        # Beside its parts there often is all of it in one file, and each part in several formats.
        taken -= {name for name in taken if name.endswith(".safetensors")} - weights_of(taken)
    return tuple(name for name in shown if name in taken), tuple(name for name in shown if name not in taken)


def folder_list(folder: Path) -> Listing:
    """The files of ``folder``. ``ModelRefused`` for one that is a link to somewhere else."""
    found = list(islice(folder.rglob("*"), MOST + 1))
    if len(found) > MOST:
        raise ModelRefused(f"The folder holds more than {MOST} files. Give the folder of one model.")
    entries = [path for path in found if path.is_symlink() or not path.is_dir()]
    taken, left_out = names_sort(path.relative_to(folder).as_posix() for path in entries)
    files = tuple(name for name in taken if (folder / name).is_file())
    _refuse_links(folder, files)
    return Listing(folder, files, tuple(sorted({*left_out, *taken} - {*files})))


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return ".." not in parts and any(part.startswith(".") for part in parts)


def _is_taken(name: str) -> bool:
    path = PurePosixPath(name)
    safe = not path.is_absolute() and ".." not in path.parts and "\\" not in name
    twice = any(fnmatchcase(name, pattern) for pattern in DUPLICATES)
    return safe and not twice and path.suffix in SUFFIXES


def _refuse_links(folder: Path, files: Iterable[str]) -> None:
    homes = _homes(folder.resolve())
    for name in files:
        target = (folder / name).resolve()
        if not any(target.is_relative_to(home) for home in homes):
            raise ModelRefused(f"{name} is a link that leads out of the folder. Put the file itself there.")


def _homes(folder: Path) -> tuple[Path, ...]:
    """Where files may really lie. A snapshot in the Hub's cache consists of links to its blobs."""
    repository = folder.parent.parent
    if folder.parent.name == "snapshots" and repository.name.startswith("models--"):
        return folder, repository / "blobs", repository.parent / "blobs"
    return (folder,)
