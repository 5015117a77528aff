"""The settings: one table of environment variables, each typed, checked and explained.

``read`` turns the environment into values; a wrong one raises ``SettingError``, whose message
names the variable, its value and what is allowed. ``docs/settings.md`` shows this same table.
No Django: the table is read before Django is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hugweb.readers import boolean, database, https, names, one_of, origins, path, socket, text, whole
from inference.durations import duration


class SettingError(ValueError):
    """A variable holds something that is not allowed."""


@dataclass(frozen=True)
class Setting:
    """One variable: how it is read, what it is when unset, and what it does.

    ``other`` is a second name for the same thing (Ollama's); ``name`` wins over it.
    """

    name: str
    read: Callable[[str], Any]
    default: str
    help: str
    other: str = ""

    def value(self, environ: Mapping[str, str]) -> Any:
        for name in filter(None, (self.name, self.other)):
            if given := environ.get(name, "").strip().strip("'\""):
                return self._checked(name, given)
        return self._checked(self.name, self.default) if self.default else None

    def _checked(self, name: str, given: str) -> Any:
        try:
            return self.read(given)
        except ValueError as error:
            raise SettingError(f"{name} is {given!r}; allowed is {self.allowed}.") from error

    @property
    def allowed(self) -> str:
        return (self.read.__doc__ or "any text").strip()


SETTINGS = (
    Setting("HUGWEB_HOME", path, "~/.hugweb", "Everything HugWeb keeps: database, models, keys, socket."),
    Setting("HUGWEB_HOST", text, "", "Address to listen on. Default 127.0.0.1, or the host of OLLAMA_HOST."),
    Setting(
        "HUGWEB_PORT", whole(0, 65535), "", "Port to listen on. Default 11434, or the port of OLLAMA_HOST."
    ),
    Setting("OLLAMA_HOST", text, "", "Address and port as Ollama writes them: `host`, `host:port`, a URL."),
    Setting("HUGWEB_ALLOWED_HOSTS", names, "", "Further host names that requests may come to."),
    Setting("OLLAMA_ORIGINS", origins, "", "Further web origins that may call the API; `*` is a wildcard."),
    Setting(
        "HUGWEB_PUBLIC_URL",
        https,
        "",
        "The `https://…` address of a proxy in front of HugWeb, for its pages and cookies.",
    ),
    Setting("HUGWEB_MAX_BODY", whole(1024, 2**31), "33554432", "Largest request body, in bytes."),
    Setting(
        "HUGWEB_MAX_BLOB",
        whole(1024, 2**44),
        "68719476736",
        "Largest file that `/api/blobs/` takes, in bytes; the disk must have room for it, too.",
    ),
    Setting(
        "HUGWEB_MAX_CONNECTIONS",
        whole(1, 1_000_000),
        "10000",
        "Connections that clients may hold, fewer where the system gives the process fewer files.",
    ),
    Setting(
        "HUGWEB_DRAIN_TIMEOUT_MS",
        whole(0, 3_600_000),
        "30000",
        "How long running answers may go on when the server is told to stop.",
    ),
    Setting(
        "HUGWEB_SEND_TIMEOUT_MS",
        whole(100, 3_600_000),
        "60000",
        "How long a client may take nothing of its answer before its request is ended.",
    ),
    Setting(
        "HUGWEB_USAGE_DAYS",
        whole(0, 36_500),
        "90",
        "How many days the row of each request is kept; 0: for ever. The sums of days always are.",
    ),
    Setting("HUGWEB_LOG_LEVEL", one_of("debug", "info", "warning", "error"), "info", "How much is logged."),
    Setting("HUGWEB_DEBUG", boolean, "false", "Django's debug pages. Only taken when listening on loopback."),
    Setting(
        "DATABASE_URL", database, "", "`postgres://…` or `sqlite:///…`. Default `db.sqlite3` in the home."
    ),
    Setting(
        "HUGWEB_ALIASES_FILE",
        path,
        "",
        "A JSON file of aliases (as the admin exports them), taken in whenever it changes.",
    ),
    Setting(
        "ENGINE_ADDRESS", socket, "", "`unix:PATH` of an engine that is started elsewhere. Default: own."
    ),
    Setting("OLLAMA_KEEP_ALIVE", duration, "5m", "How long a model stays loaded after its last request."),
    Setting(
        "OLLAMA_MAX_QUEUE", whole(1, 100_000), "512", "Requests that may wait for a model; more get 503."
    ),
    Setting(
        "OLLAMA_NUM_PARALLEL",
        whole(0, 256),
        "0",
        "Requests one model answers at a time; 0: as many as fit, up to 8 on a CPU, 16 on a GPU.",
    ),
    Setting(
        "MAX_CONCURRENT_MODELS",
        whole(1, 64),
        "2",
        "Models that may be loaded at the same time.",
        other="OLLAMA_MAX_LOADED_MODELS",
    ),
    Setting(
        "OLLAMA_CONTEXT_LENGTH",
        whole(0, 10_000_000),
        "0",
        "Longest context of any model, in tokens; 0: as long as the model allows.",
    ),
    Setting(
        "ENABLE_MODEL_WARMUP",
        boolean,
        "false",
        "Load at each start what was loaded when the engine last ended.",
    ),
    Setting(
        "ENABLE_VISION_FALLBACK",
        boolean,
        "false",
        "Answer only the text where a model cannot see the pictures of a request, and say so; else 400.",
    ),
    Setting("MODEL_LOAD_TIMEOUT_MS", whole(1, 86_400_000), "300000", "Longest time to load a model."),
    Setting(
        "STREAM_TIMEOUT_MS", whole(1, 86_400_000), "300000", "Longest silence of the engine in an answer."
    ),
    Setting(
        "RETRY_ATTEMPTS",
        whole(0, 100),
        "3",
        "How often a download that broke off is tried again, when not a byte came meanwhile.",
    ),
    Setting(
        "RETRY_DELAY_MS",
        whole(0, 3_600_000),
        "1000",
        "How long to wait before the first of these attempts; each further one waits twice as long.",
    ),
    Setting(
        "HUGGINGFACE_DEVICE",
        one_of("auto", "cpu", "cuda", "mps"),
        "auto",
        "Where models run. auto: CUDA, else MPS (up to 3 billion parameters), else the CPU.",
    ),
    Setting(
        "HUGGINGFACE_PRECISION",
        one_of("auto", "bfloat16", "float16", "float32"),
        "auto",
        "Number format of the weights. auto: bfloat16 where the device has it.",
    ),
    Setting(
        "HUGGINGFACE_MODELS_PATH",
        path,
        "",
        "Where models taken from folders are kept. Default `models` in the home.",
    ),
    Setting("HF_HOME", path, "", "Hugging Face's own: where downloads from the Hub are cached."),
    Setting("HF_TOKEN", text, "", "Hugging Face's own: the token for gated models. Only `pull` sees it."),
    Setting("HF_ENDPOINT", text, "", "Hugging Face's own: another Hub."),
    Setting(
        "HF_HUB_DOWNLOAD_TIMEOUT",
        whole(1, 3600),
        "10",
        "Hugging Face's own: seconds of silence after which a download is tried again.",
    ),
    Setting("HF_HUB_OFFLINE", boolean, "false", "Hugging Face's own: never ask the Hub."),
)


def read(environ: Mapping[str, str]) -> dict[str, Any]:
    """Every setting's value. ``SettingError`` at the first wrong one."""
    values = {setting.name: setting.value(environ) for setting in SETTINGS}
    host, port = _ollama_host(values["OLLAMA_HOST"] or "")
    values["HUGWEB_HOST"] = values["HUGWEB_HOST"] or host
    values["HUGWEB_PORT"] = port if values["HUGWEB_PORT"] is None else values["HUGWEB_PORT"]
    values["HUGGINGFACE_MODELS_PATH"] = values["HUGGINGFACE_MODELS_PATH"] or values["HUGWEB_HOME"] / "models"
    return values


def _ollama_host(value: str) -> tuple[str, int]:
    """Host and port of OLLAMA_HOST, by Ollama's rules: a scheme brings its own default port."""
    scheme, _, rest = value.rpartition("://")
    address = rest.split("/", 1)[0]
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:]*)(?::(\d{1,5}))?", address)
    port = int(match[2]) if match and match[2] else {"http": 80, "https": 443}.get(scheme, 11434)
    if not match or port > 65535:
        raise SettingError(f"OLLAMA_HOST is {value!r}; allowed is a host, a host:port or a URL.")
    return match[1].strip("[]") or "127.0.0.1", port
