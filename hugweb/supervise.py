"""The engine as a child of the web process: started, restarted when it dies, stopped.

The child gets its configuration, an allow-list of the environment and no secret. It ends itself
when its standard input ends, so it never outlives this process, however that dies. Knows nothing of
what the engine does.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from django.conf import settings
from huggingface_hub.constants import HF_HUB_CACHE

from inference.address import engine_address

logger = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "inference.engine")
STOP_SECONDS = 4.0
KILL_SECONDS = 2.0
HEALTHY_SECONDS = 60.0
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0

_PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_*", "TMPDIR", "TZ", "VIRTUAL_ENV", "PYTHON*"),
    *("LD_LIBRARY_PATH", "DYLD_*", "CUDA_*", "NVIDIA_*", "HIP_*", "HSA_*", "ROCR_*"),
    *("PYTORCH_*", "TORCH*", "TRITON_*", "OMP_*", "MKL_*", "KMP_*", "MALLOC_*"),
)


def engine_config(log_level: str = "") -> dict[str, Any]:
    """What the engine is told, out of the settings; ``log_level`` instead of theirs."""
    env = settings.ENV
    return {
        "address": engine_address(),
        "model_roots": [str(settings.MODELS_PATH), HF_HUB_CACHE],
        "cache": str(settings.HOME / "cache"),
        "device": env["HUGGINGFACE_DEVICE"],
        "precision": env["HUGGINGFACE_PRECISION"],
        "max_models": env["MAX_CONCURRENT_MODELS"],
        "num_parallel": env["OLLAMA_NUM_PARALLEL"],
        "max_queue": env["OLLAMA_MAX_QUEUE"],
        "keep_alive": env["OLLAMA_KEEP_ALIVE"],
        "context_length": env["OLLAMA_CONTEXT_LENGTH"],
        "load_timeout": env["MODEL_LOAD_TIMEOUT_MS"] / 1000,
        # The web ends such a request itself, with a word in the log.
        "write_timeout": settings.SEND_SECONDS + 30,
        "notebook": str(Path(settings.HOME, "run", "engine.json")),
        "warm_up": env["ENABLE_MODEL_WARMUP"],
        "log_level": log_level or env["HUGWEB_LOG_LEVEL"],
    }


def child_environment(environ: Mapping[str, str], log_level: str = "") -> dict[str, str]:
    """What of ``environ`` the engine may see. It never asks the Hub."""
    passed_on = {
        name: value
        for name, value in environ.items()
        if any(fnmatchcase(name, pattern) for pattern in _PASSED_ON)
    }
    return {**passed_on, "HF_HUB_OFFLINE": "1", "HUGWEB_ENGINE_CONFIG": json.dumps(engine_config(log_level))}


class EngineSupervisor:
    """Keeps one engine running between ``start`` and ``stop``, from a thread of its own."""

    def __init__(self, command: Sequence[str] = COMMAND, *, log_level: str = "") -> None:
        self._command = command
        self._log_level = log_level
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, name="engine-supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End the engine, by force after ``seconds``; returns when it is gone."""
        self._stopping.set()
        self._signal(signal.SIGTERM)
        if self._thread.is_alive():
            self._thread.join(seconds)
            self.kill()
            self._thread.join(KILL_SECONDS)

    def kill(self) -> None:
        """End the engine at once, and whatever it started."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock, contextlib.suppress(ProcessLookupError, PermissionError):
            if self._process and self._process.poll() is None:
                os.killpg(self._process.pid, number)

    def _keep_running(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            reason = self._run()
            if self._stopping.is_set():
                return
            failures = 0 if time.monotonic() - began > HEALTHY_SECONDS else failures
            delay = restart_delay(failures)
            logger.error("The engine ended: %s. It is restarted in %.1f s.", reason, delay)
            failures += 1
            self._stopping.wait(delay)

    def _run(self) -> str:
        """Run the engine to its end; the reason of it."""
        try:
            process = self._spawn()
        except OSError as error:
            return f"it could not be started ({error.strerror})"
        if process is None:
            return "it was stopped"
        code = process.wait()
        if process.stdin:
            process.stdin.close()
        return reason_of(code)

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stopping.is_set():
                return None
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter)
                self._command,
                cwd=settings.BASE_DIR,
                env=child_environment(os.environ, self._log_level),
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            return self._process


def restart_delay(failures: int) -> float:
    """Seconds until a restart after ``failures`` others in a row."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1)) if failures else 0.0


def reason_of(code: int) -> str:
    """What an exit code means."""
    if code == -signal.SIGKILL:
        return "killed (signal 9), possibly out of memory"
    if code < 0:
        return f"ended by signal {-code} ({signal.strsignal(-code)})"
    return f"exit code {code}"
