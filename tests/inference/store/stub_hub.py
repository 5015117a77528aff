"""A Hub on loopback: repositories from folders, and every way in which the real one fails."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CHUNK = 16 * 1024

Answer = tuple[int, dict[str, str], bytes]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repo:
    """A repository. ``lie`` names a file whose bytes are not those that its SHA-256 promises."""

    files: dict[str, bytes]
    lie: str = ""
    gated: bool = False
    commit: str = COMMIT
    license: str = ""
    gguf: str = ""


@dataclass
class StubHub:
    """Serves ``repos``; ``answers`` are (status, headers, body) for whole repositories instead.

    ``stall`` never answers a question; ``cut`` breaks so many bodies off in the middle, after
    which a Hub that ``dies`` is ``dead``: nobody answers; ``hang`` sends half of a body and then
    nothing, so many times; ``limits`` are the Retry-After of the next answers; ``deaf`` ignores
    Range; ``gate`` holds bodies back half-way until it is set. ``fetched`` names the files that
    were asked for, ``ranges`` what was asked of them, ``sent`` counts the bytes of each.
    """

    repos: dict[str, Repo] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    stall: bool = False
    cut: int = 0
    dies: bool = False
    dead: bool = False
    hang: int = 0
    deaf: bool = False
    limits: list[int] = field(default_factory=list)
    gate: threading.Event | None = None
    fetched: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> StubHub:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path)
                if hub.dead:
                    self.close_connection = True
                    return
                if hub.stall and path.startswith("/api/models"):
                    time.sleep(60)
                status, headers, content = hub.answer(path, self.headers)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if status in {200, 206} and not path.startswith("/api/models"):
                    hub.send(self, path, content)
                else:
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        return Handler

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        parts = path.removeprefix("/api/models").strip("/").split("/")
        name = "/".join(parts[:2])
        if name in self.answers:
            return self.answers[name]
        if name not in self.repos:
            return 401, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if self.limits:
            return 429, {"Retry-After": str(self.limits.pop(0))}, b"{}"
        repo = self.repos[name]
        if path.startswith("/api/models"):
            return self._info(name, repo, parts[3] if len(parts) > 3 else "main")
        if repo.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
        return self._file(repo, "/".join(parts[4:]), headers.get("Range") or "")

    @property
    def went_on(self) -> list[int]:
        """The bytes from which bodies were asked for. What is ``sent`` may still go to one that has left."""
        return [int(wanted.removeprefix("bytes=").removesuffix("-")) for wanted in self.ranges]

    def send(self, handler: BaseHTTPRequestHandler, path: str, content: bytes) -> None:
        """Send a body, if it is a large one with everything that can happen to it."""
        half = len(content) // 2 if len(content) > CHUNK else len(content)
        name = path.split("/")[-1]
        self._write(handler, name, content[:half])
        if half == len(content):
            return
        if self.gate:
            self.gate.wait(60)
        if self.cut:
            self.cut -= 1
            self.dead = self.dies and not self.cut
            handler.close_connection = True
            return
        if self.hang:
            self.hang -= 1
            time.sleep(60)
        self._write(handler, name, content[half:])

    def _write(self, handler: BaseHTTPRequestHandler, name: str, content: bytes) -> None:
        for start in range(0, len(content), CHUNK):
            chunk = content[start : start + CHUNK]
            try:
                handler.wfile.write(chunk)
            except OSError:
                handler.close_connection = True
                return
            self.sent[name] += len(chunk)

    def _info(self, name: str, repo: Repo, revision: str) -> Answer:
        if revision not in {"main", repo.commit}:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        siblings = [
            {
                "rfilename": file,
                "size": len(content),
                "blobId": git_hash(content),
                "lfs": {"size": len(content), "sha256": sha256(content), "pointerSize": 1}
                if file.endswith((".safetensors", ".gguf"))
                else None,
            }
            for file, content in repo.files.items()
        ]
        card = {"license": repo.license} if repo.license else {}
        info = {"id": name, "sha": repo.commit, "siblings": siblings, "cardData": card}
        if repo.gguf:
            info["gguf"] = {"architecture": repo.gguf}
        return 200, {}, json.dumps(info).encode()

    def _file(self, repo: Repo, file: str, wanted: str) -> Answer:
        if file not in repo.files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b"{}"
        self.fetched.append(file)
        content = repo.files[file]
        if file == repo.lie:
            content = content[:-1] + bytes([content[-1] ^ 1])
        found = None if self.deaf else re.fullmatch(r"bytes=(\d+)-", wanted)
        if not found:
            return 200, {}, content
        self.ranges.append(wanted)
        start = int(found[1])
        if start >= len(content):
            return 416, {"Content-Range": f"bytes */{len(content)}"}, b""
        size = len(content)
        return 206, {"Content-Range": f"bytes {start}-{size - 1}/{size}"}, content[start:]


def repo_of(folder: Path, **more: bytes) -> Repo:
    """A repository with the files of ``folder``."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    return Repo({**files, **more})


def grown(repo: Repo, size: int) -> Repo:
    """The same repository with one more weight, so that its file has at least ``size`` bytes."""
    import torch
    from safetensors.torch import load, save

    noise = torch.randint(0, 255, (size,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    tensors = load(repo.files["model.safetensors"]) | {"ballast": noise}
    return Repo({**repo.files, "model.safetensors": save(tensors, metadata={"format": "pt"})})
