"""Image pipelines in the store: all their parts are taken, checked and counted, and nothing beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from inference.footprint.files import anatomy_read
from inference.models import ModelRecord
from inference.store.architectures import DRAWING_AND_EDITING, EDITING, PIPELINE_OTHER, kind_detect
from inference.store.errors import ModelRefused
from inference.store.estimate import record_anatomy
from inference.store.services import model_take_folder
from tests.inference.store.builders import names_below
from tests.tiny_pipelines import make_tiny_flux, make_tiny_qwen_image, make_tiny_sd

pytestmark = pytest.mark.django_db
NAME = "org/painter"


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline's folder. Shared: copy it before changing it."""
    return make_tiny_sd(tmp_path_factory.mktemp("pipelines") / "sd")


@pytest.fixture
def changed(pipeline: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pipeline, tmp_path / "changed")


def counted(folder: Path) -> int:
    total = 0
    for file in folder.glob("*/*.safetensors"):
        with safe_open(file, framework="np") as weights:
            for name in weights.keys():  # noqa: SIM118
                size = 1
                for length in weights.get_slice(name).get_shape():
                    size *= length
                total += size
    return total


def test_a_pipeline_is_taken_in_with_all_its_parts(store: Path, pipeline: Path) -> None:
    taken = model_take_folder(folder=pipeline, name=NAME)
    record = ModelRecord.objects.get()
    assert taken.kind is DRAWING_AND_EDITING
    assert taken.kind.runs
    assert (record.architecture, record.capabilities) == ("stable-diffusion", ["image", "image_edit"])
    assert (record.dtype, record.parameters) == ("F32", counted(pipeline))
    assert names_below(record.path) == names_below(pipeline)
    assert {"unet/diffusion_pytorch_model.safetensors", "tokenizer/merges.txt"} <= set(
        names_below(record.path)
    )
    assert anatomy_read(record.path).numbers == record.parameters
    # 32 × 32 pixels, 8 channels in the decoder's last block.
    assert anatomy_read(record.path).picture == record_anatomy(record).picture == 32 * 32 * 8 * 9


def test_the_same_weights_in_other_formats_are_left_out(store: Path, changed: Path) -> None:
    weights = changed / "unet" / "diffusion_pytorch_model.safetensors"
    for again in (
        changed / "painter.safetensors",
        weights.with_name("diffusion_pytorch_model.fp16.safetensors"),
    ):
        shutil.copy(weights, again)
    (changed / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"x")
    (changed / "unet" / "pipeline.py").write_text("boom")
    taken = model_take_folder(folder=changed, name=NAME)
    assert taken.left_out == (
        "painter.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/pipeline.py",
    )
    assert taken.record.parameters == counted(taken.record.path) == anatomy_read(changed).numbers


def test_a_part_without_safetensors_is_named(store: Path, changed: Path) -> None:
    (changed / "vae" / "diffusion_pytorch_model.safetensors").rename(changed / "vae" / "x.bin")
    with pytest.raises(ModelRefused, match="The part vae of the pipeline is missing"):
        model_take_folder(folder=changed, name=NAME)
    shutil.rmtree(changed / "vae")
    with pytest.raises(ModelRefused, match="The part vae of the pipeline is missing"):
        model_take_folder(folder=changed, name=NAME)


def test_a_missing_shard_is_named(store: Path, changed: Path) -> None:
    index = {"weight_map": {"a": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    (changed / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelRefused, match=r"names unet/diffusion_pytorch_model-00001-of-00002.safetensors"):
        model_take_folder(folder=changed, name=NAME)


def test_a_pipeline_that_would_run_foreign_code_is_refused(store: Path, changed: Path) -> None:
    index = json.loads((changed / "model_index.json").read_text())
    for change in ({"_class_name": ["my", "My"]}, {"unet": ["os", "System"]}, {"custom_pipeline": "x/y"}):
        (changed / "model_index.json").write_text(json.dumps(index | change))
        with pytest.raises(ModelRefused):
            model_take_folder(folder=changed, name=NAME)


def test_pipelines_of_other_families_are_taken_in_too(store: Path, tmp_path: Path) -> None:
    flux = model_take_folder(folder=make_tiny_flux(tmp_path / "flux"), name="org/flux")
    assert (flux.kind, flux.record.architecture) == (DRAWING_AND_EDITING, "flux")
    folder = make_tiny_qwen_image(tmp_path / "qwen", tmp_path / "seeing", edits=True)
    qwen = model_take_folder(folder=folder, name="org/qwen")
    assert (qwen.kind, qwen.record.architecture) == (EDITING, "qwenimage-edit")


def test_kinds_of_pipelines() -> None:
    names = {
        "FluxPipeline": DRAWING_AND_EDITING,
        "QwenImageEditPipeline": EDITING,
        "IFPipeline": PIPELINE_OTHER,
    }
    for name, kind in names.items():
        assert kind_detect({"_class_name": name}, ("model_index.json",)) is kind
