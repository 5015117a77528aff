"""Which model types the installed transformers knows, without importing it.

Its tables are literals in ``transformers/models/auto``; reading them takes a fraction of the
seconds and the memory that an import takes, and the web process must never import it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

CONFIGS = "CONFIG_MAPPING_NAMES"
CAUSAL = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"
IMAGE_TEXT = "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES"
MASKED = "MODEL_FOR_MASKED_LM_MAPPING_NAMES"
ENCODERS = "MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES"
TABLES = frozenset({CONFIGS, CAUSAL, IMAGE_TEXT, MASKED, ENCODERS})


def model_types(table: str) -> frozenset[str]:
    """The model types in one of transformers' tables."""
    return _tables()[table]


def transformers_version() -> str:
    return version("transformers")


@cache
def _tables() -> dict[str, frozenset[str]]:
    found = defaultdict[str, set[str]](set)
    for path in sorted(_auto_folder().glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name, value = _filled(node)
            if value is not None and name in TABLES:
                found[name].update(_keys(value))
    return {name: frozenset(keys) for name, keys in found.items()}


def _auto_folder() -> Path:
    # Only the top package is looked up: looking up one inside of it would import it.
    spec = find_spec("transformers")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "models" / "auto"


def _filled(node: ast.AST) -> tuple[str, ast.expr | None]:
    """The name of the table that a statement fills, and what with."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            return name, value
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="update"), args=[value]):
            return name, value
    return "", None


def _keys(value: ast.expr) -> Iterator[str]:
    for node in ast.walk(value):
        keys: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            keys = node.keys
        elif isinstance(node, ast.List):
            keys = [pair.elts[0] for pair in node.elts if isinstance(pair, ast.Tuple)]
        for key in keys:
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value
