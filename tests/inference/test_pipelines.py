"""Image pipelines are told from their files, without importing diffusers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from inference.pipelines import TABLES, _tables, pipeline_of, variant_of, weights_of
from tests.serving import PROJECT

SD = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.30.0",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
}


def test_the_tables_are_those_of_the_installed_diffusers() -> None:
    from diffusers.pipelines import auto_pipeline

    for table, task in TABLES.items():
        theirs = {family: kind.__name__ for family, kind in getattr(auto_pipeline, table).items()}
        ours = {family: classes[task] for family, classes in _tables().items() if task in classes}
        # Its tables grow by Kolors where sentencepiece is installed.
        assert {family: name for family, name in theirs.items() if "kolors" not in family} == ours


def test_reading_the_tables_imports_neither_diffusers_nor_torch() -> None:
    code = (
        "import sys; from inference.pipelines import _tables; assert _tables();"
        "print({'torch', 'transformers', 'diffusers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_pipeline_is_its_family_tasks_and_parts() -> None:
    found = pipeline_of(SD)
    assert (found.name, found.family) == ("StableDiffusionPipeline", "stable-diffusion")
    assert found.classes == {
        "text": "StableDiffusionPipeline",
        "image": "StableDiffusionImg2ImgPipeline",
        "inpaint": "StableDiffusionInpaintPipeline",
    }
    assert sorted(found.parts) == ["safety_checker", "tokenizer", "unet"]
    assert list(found.weighty()) == ["unet", "safety_checker"]


@pytest.mark.parametrize(
    ("name", "family", "tasks"),
    [
        ("StableDiffusionXLImg2ImgPipeline", "stable-diffusion-xl", {"text", "image", "inpaint"}),
        ("StableDiffusion3Pipeline", "stable-diffusion-3", {"text", "image", "inpaint"}),
        ("FluxPipeline", "flux", {"text", "image", "inpaint"}),
        ("FluxKontextPipeline", "flux-kontext", {"text", "image"}),
        ("QwenImagePipeline", "qwenimage", {"text", "image", "inpaint"}),
        ("QwenImageEditPlusPipeline", "qwenimage-edit-plus", {"image"}),
        ("StableDiffusionControlNetPipeline", "stable-diffusion-controlnet", set()),
        ("StableCascadeCombinedPipeline", "cascade", set()),
    ],
)
def test_families(name: str, family: str, tasks: set[str]) -> None:
    found = pipeline_of({"_class_name": name})
    assert (found.family, set(found.classes)) == (family, tasks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_class_name": ["pipeline_my", "MyPipeline"]}, "Python code of its own"),
        ({"_class_name": "MyPipeline"}, "'MyPipeline' is none for pictures that diffusers"),
        ({"_class_name": "WanPipeline"}, "none for pictures"),
        ({"unet": ["subprocess", "Popen"]}, "its part 'unet'"),
        ({"unet": ["my_unet", "MyUNet"]}, "its part 'unet'"),
        ({"unet": ["..", "X"]}, "its part 'unet'"),
        ({"unet": ["diffusers", "DiffusionPipeline"]}, "its part 'unet'"),
        ({"unet": ["diffusers", "a.b"]}, "its part 'unet'"),
        ({"unet": ["diffusers", "A", "B"]}, "its part 'unet'"),
        ({"../unet": ["diffusers", "UNet2DConditionModel"]}, "its part"),
        ({f"part{number}": ["diffusers", "A"] for number in range(40)}, "more than 32 parts"),
    ],
)
def test_what_could_run_foreign_code_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline_of(SD | change)


def test_of_several_formats_one_is_taken_and_nothing_twice() -> None:
    names = (
        "model_index.json",
        "v1-5.safetensors",
        "unet/a.safetensors",
        "unet/a.fp16.safetensors",
        "unet/a.non_ema.safetensors",
        "text_encoder/model-00001-of-00002.safetensors",
        "text_encoder/model.fp16-00001-of-00002.safetensors",
        "vae/a.fp16.safetensors",
        "deep/er/a.safetensors",
    )
    assert weights_of(names) == {
        "unet/a.safetensors",
        "text_encoder/model-00001-of-00002.safetensors",
        "vae/a.fp16.safetensors",
    }


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("model.safetensors", ""),
        ("model-00001-of-00002.safetensors", ""),
        ("unet/model.fp16.safetensors", "fp16"),
        ("model.fp16-00001-of-00002.safetensors", "fp16"),
        ("model-00001-of-00002.fp16.safetensors", "fp16"),
    ],
)
def test_variants(name: str, variant: str) -> None:
    assert variant_of(name) == variant
