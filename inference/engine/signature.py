"""What a pipeline takes, by the signature of its call; what a request asks beyond that is refused.

Knows nothing of pictures, and of how they are drawn.
"""

from __future__ import annotations

import inspect
from typing import Any

from inference.errors import InvalidRequest, Unsupported
from inference.protocol import Draw

# How much a negative prompt counts where guidance is off by default, as in Qwen-Image's own examples.
TRUE_GUIDANCE = 4.0


class Signature:
    """The parameters of a class of pipelines, of ``family``."""

    def __init__(self, kind: Any, family: str) -> None:
        self._parameters = inspect.signature(kind.__call__).parameters
        # Two kinds of guidance: distilled into the model, or true, against the negative prompt.
        self._guided_truly = "true_cfg_scale" in self._parameters and family.startswith("qwenimage")

    def takes(self, *names: str) -> bool:
        """Whether there is a parameter of one of these names."""
        return any(name in self._parameters for name in names)

    def check(self, request: Draw) -> None:
        """``Unsupported`` for an option that the pipeline does not take."""
        if request.negative_prompt and not self.takes("negative_prompt"):
            raise Unsupported("This model takes no negative prompt.")
        if (request.width or request.height) and not self.takes("width", "strength"):
            raise Unsupported("This model chooses the size by itself. Leave it out.")
        if request.guidance is not None and not self.takes("guidance_scale", "true_cfg_scale"):
            raise Unsupported("This model takes no guidance.")
        if request.strength is not None and not self.takes("strength"):
            raise Unsupported("This model takes no strength here.")
        if not self.steps(request):
            raise InvalidRequest("Of so few steps nothing is left at this strength. Raise one of them.")

    def steps(self, request: Draw) -> int:
        """Steps of one picture, as far as it is known before; some schedulers make one more."""
        steps: int = request.steps or self._default("num_inference_steps")
        if not self.takes("strength"):
            return steps
        strength = self._default("strength") if request.strength is None else request.strength
        return min(int(steps * strength), steps)

    def options(self, request: Draw) -> dict[str, Any]:
        """The arguments that the request's options are."""
        options: dict[str, Any] = {"prompt": request.prompt}
        if request.steps:
            options["num_inference_steps"] = request.steps
        if request.strength is not None:
            options["strength"] = request.strength
        if request.guidance is not None:
            options["true_cfg_scale" if self._guided_truly else "guidance_scale"] = request.guidance
        if request.negative_prompt:
            options["negative_prompt"] = request.negative_prompt
        if self._guided_truly:
            # Without one there would be no guidance at all.
            options.setdefault("negative_prompt", " ")
        elif request.negative_prompt and self.takes("true_cfg_scale"):
            options["true_cfg_scale"] = TRUE_GUIDANCE
        return options

    def _default(self, name: str) -> Any:
        return self._parameters[name].default
