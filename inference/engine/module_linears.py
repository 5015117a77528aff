"""Faster and smaller linear layers inside of a model's own modules: packed for the processor, or in 8 or
4 bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from inference.engine.kernels.library import Kernels
from inference.engine.linear import (
    Linear,
    PlainLinear,
    WaitingLinear,
    can_fuse,
    fused_linear,
    head_linear,
    linear_in,
    linear_on,
    may_fuse,
)
from inference.protocol import Quantization


class SwappedLinears:
    """The linear layers of ``part``, swapped; the old ones stay until ``settle``, for ``undo``.

    ``head`` is the one among them whose results are logits. ``later``: they are only made to wait until it
    is known whether there are kernels.
    """

    def __init__(
        self,
        part: nn.Module,
        head: nn.Module | None,
        quantization: Quantization,
        kernels: Kernels | None,
        *,
        later: bool = False,
    ) -> None:
        self._head = head
        self._quantization = quantization
        self._swapped: list[nn.Linear] = []
        self._old: list[tuple[nn.Linear, Tensor]] = []
        try:
            for module in part.modules():
                # A subclass may do something of its own.
                if type(module) is not nn.Linear:
                    continue
                if later and may_fuse(module.weight, quantization):
                    self._swap(module, WaitingLinear([module.weight], [module.bias]))
                elif not later and can_fuse(module.weight, quantization, kernels):
                    self._swap(module, self._made(module, kernels))
        except BaseException:
            # Half of them swapped, nobody could use the model any more.
            self.undo()
            raise

    def __len__(self) -> int:
        return len(self._swapped)

    def _made(self, module: nn.Linear, kernels: Kernels | None) -> Linear:
        if module is self._head:
            return head_linear(module.weight, module.bias, self._quantization, kernels)
        return fused_linear([module.weight], [module.bias], self._quantization, kernels)

    def _swap(self, module: nn.Linear, linear: Linear) -> None:
        self._swapped.append(module)
        self._old.append((module, module.weight))
        self.use({module: linear})
        # What is left of the weight tells its number format and device.
        module.weight = nn.Parameter(module.weight.new_empty(0), requires_grad=False)

    def use(self, linears: Mapping[nn.Linear, Linear]) -> dict[nn.Linear, Linear]:
        """Have each module compute by its one of ``linears``; by what it did before."""
        before: dict[nn.Linear, Linear] = {module: module.forward for module in linears}
        for module, linear in linears.items():
            # Shadows the method of the class.
            module.forward = linear  # type: ignore[method-assign, assignment]
        return before

    def in_fewer_bits(self, kernels: Kernels | None) -> Iterator[tuple[nn.Linear, Linear]]:
        """Each that was made to wait, and it in fewer bits; as torch has it, where neither ``kernels`` nor
        torch can that."""
        for module in self._swapped:
            waiting = module.forward
            assert isinstance(waiting, WaitingLinear)
            weight = waiting.weights[0]
            if can_fuse(weight, self._quantization, kernels):
                wide = module is self._head
                yield module, linear_in(self._quantization, kernels, waiting, wide=wide)
            else:
                # A copy: what lies in a file keeps all of it in memory.
                yield module, PlainLinear(weight.clone(), module.bias)

    def on(self, kernels: Kernels) -> Iterator[tuple[nn.Linear, Linear]]:
        """Each, and it on ``kernels``, where that is faster or more precise; the head first."""
        for module in sorted(self._swapped, key=lambda module: module is not self._head):
            linear: Linear = module.forward
            made = linear_on(kernels, linear, wide=module is self._head)
            if made is not linear:
                yield module, made

    def undo(self) -> None:
        """Put the old layers back."""
        for module, weight in self._old:
            del module.__dict__["forward"]
            module.weight = weight
        self._old.clear()
        self._swapped.clear()

    def settle(self, model: nn.Module) -> None:
        """Let the old weights go, and the mapping of their file, which any weight of the whole ``model`` that
        stays would keep. What waits keeps it until then."""
        if self._old:
            for weight in (*model.parameters(), *model.buffers()):
                weight.data = weight.data.clone()
        self._old.clear()
