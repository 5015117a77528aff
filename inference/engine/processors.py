"""A model's processor: what turns pictures, sounds and text into its inputs.

Processors that also read videos ask for torchvision, which is no part of HugWeb, even where there
is no video: then their video part is left empty. Pictures are read by the PIL backend.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from transformers import AutoProcessor, processing_utils
from transformers.models.auto.video_processing_auto import AutoVideoProcessor
from transformers.utils import is_torchvision_available
from transformers.video_processing_utils import VideoProcessorMixin

# Pixels of a picture that models with pictures of any size may look at: about 1300 tokens of Qwen's.
MOST_PIXELS = 1280 * 28 * 28


class NoVideos(VideoProcessorMixin):
    """Stands where a processor wants to have one for videos."""

    # What some processors look up before they know whether there is a video.
    num_frames = fps = None

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> NoVideos:
        return cls()


@contextmanager
def without_videos() -> Iterator[None]:
    """Let processors do without torchvision, where it is not there, while the block runs."""
    if is_torchvision_available():
        yield
        return
    with (
        patch.object(AutoVideoProcessor, "from_pretrained", NoVideos.from_pretrained),
        # Checked against, but exported with torchvision only.
        patch.object(
            processing_utils.transformers_module, "VideoProcessorMixin", VideoProcessorMixin, create=True
        ),
    ):
        yield


def load_processor(folder: Path) -> Any:
    """The processor of the model in ``folder``; without torchvision, one that reads no videos."""
    with without_videos():
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    _bound(processor.image_processor)
    return processor


def _bound(image_processor: Any) -> None:
    """Let a processor whose pictures may have any size make no more of one than is good for a chat."""
    size = getattr(image_processor, "size", None)
    if hasattr(image_processor, "merge_size") and size and (most := size.get("longest_edge")):
        image_processor.size = {
            "shortest_edge": min(size["shortest_edge"], MOST_PIXELS),
            "longest_edge": min(most, MOST_PIXELS),
        }
