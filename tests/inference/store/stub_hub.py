"""A Hub on loopback: repositories from folders, and every way in which the real one says no."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repo:
    """A repository. ``lie`` names a file whose bytes are not those that its SHA-256 promises."""

    files: dict[str, bytes]
    lie: str = ""
    gated: bool = False


@dataclass
class StubHub:
    """Serves ``repos``; ``answers`` are (status, headers, body) for whole repositories instead."""

    repos: dict[str, Repo] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    stall: bool = False
    fetched: list[str] = field(default_factory=list)

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
            def do_GET(self) -> None:
                self._answer(body=True)

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def _answer(self, body: bool) -> None:
                if hub.stall and self.path.startswith("/api/models"):
                    time.sleep(60)
                status, headers, content = hub.answer(unquote(urlsplit(self.path).path), body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        return Handler

    def answer(self, path: str, body: bool) -> tuple[int, dict[str, str], bytes]:
        parts = path.removeprefix("/api/models").strip("/").split("/")
        name = "/".join(parts[:2])
        if name in self.answers:
            return self.answers[name]
        if name not in self.repos:
            return 401, {"X-Error-Code": "RepoNotFound"}, b"{}"
        repo = self.repos[name]
        if path.startswith("/api/models"):
            return self._info(name, repo, parts[3] if len(parts) > 3 else "main")
        if repo.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
        return self._file(repo, "/".join(parts[4:]), body)

    def _info(self, name: str, repo: Repo, revision: str) -> tuple[int, dict[str, str], bytes]:
        if revision not in {"main", COMMIT}:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        siblings = [
            {
                "rfilename": file,
                "size": len(content),
                "blobId": hashlib.sha1(content).hexdigest(),
                "lfs": {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 1}
                if file.endswith(".safetensors")
                else None,
            }
            for file, content in repo.files.items()
        ]
        return 200, {}, json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode()

    def _file(self, repo: Repo, file: str, body: bool) -> tuple[int, dict[str, str], bytes]:
        if file not in repo.files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b"{}"
        if body:
            self.fetched.append(file)
        content = repo.files[file]
        etag = hashlib.sha256(content).hexdigest()
        if file == repo.lie:
            content = content[:-1] + bytes([content[-1] ^ 1])
        return 200, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, content


def repo_of(folder: Path, **more: bytes) -> Repo:
    """A repository with the files of ``folder``."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    return Repo({**files, **more})
