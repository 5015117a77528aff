"""Faster and smaller linear layers inside of a model's own modules: packed for the processor, or in 8 or
4 bits."""

from __future__ import annotations

from torch import Tensor, nn

from inference.engine.kernels.library import Kernels
from inference.engine.linear import can_fuse, fused_linear, head_linear
from inference.protocol import Quantization


class SwappedLinears:
    """The linear layers of ``part``, swapped; the old ones stay until ``settle``, for ``undo``.

    ``head`` is the one among them whose results are logits.
    """

    def __init__(
        self, part: nn.Module, head: nn.Module | None, quantization: Quantization, kernels: Kernels | None
    ) -> None:
        self._head = head
        self._old: list[tuple[nn.Linear, Tensor]] = []
        try:
            for module in part.modules():
                # A subclass may do something of its own.
                if type(module) is nn.Linear and can_fuse(module.weight, quantization, kernels):
                    self._swap(module, quantization, kernels)
        except BaseException:
            # Half of them swapped, nobody could use the model any more.
            self.undo()
            raise

    def __len__(self) -> int:
        return len(self._old)

    def _swap(self, module: nn.Linear, quantization: Quantization, kernels: Kernels | None) -> None:
        if module is self._head:
            linear = head_linear(module.weight, module.bias, quantization, kernels)
        else:
            linear = fused_linear([module.weight], [module.bias], quantization, kernels)
        self._old.append((module, module.weight))
        # Shadows the method of the class; what is left of the weight tells its number format and device.
        module.forward = linear  # type: ignore[method-assign, assignment]
        module.weight = nn.Parameter(module.weight.new_empty(0), requires_grad=False)

    def undo(self) -> None:
        """Put the old layers back."""
        for module, weight in self._old:
            del module.__dict__["forward"]
            module.weight = weight
        self._old.clear()

    def settle(self, model: nn.Module) -> None:
        """Let the old weights go, and the mapping of their file, which any weight of the whole ``model`` that
        stays would keep."""
        if self._old:
            for weight in (*model.parameters(), *model.buffers()):
                weight.data = weight.data.clone()
        self._old.clear()
