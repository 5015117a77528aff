"""The contract of a handler: one loaded model that answers requests."""

from __future__ import annotations

from abc import ABC, abstractmethod

from inference.protocol import Events, Work


class ModelHandler(ABC):
    """Runs one loaded model.

    Made by its class's ``load`` in the loader's thread; ``run`` is called on the engine's event
    loop and must not block it. ``close`` is called in the loader's thread, when no request runs.
    """

    device: str
    """Where the weights are: ``cpu``, ``mps``, ``cuda`` or ``cuda:1``."""
    size: int
    """Bytes of the weights in memory."""
    reserved: int = 0
    """Bytes beside them that were taken because they were free: with less memory it would be less."""
    context_length: int
    """Tokens that prompt and answer may have together."""
    dtype: str = ""
    """The number format of the weights, such as ``bfloat16``; empty where it is not known."""
    places: int = 0
    """Requests that it answers at a time; 0 where it takes up all of them together."""

    @property
    def provisional(self) -> bool:
        """Whether the weights are still to be made smaller: what the load took says nothing yet."""
        return False

    @property
    def manner(self) -> str:
        """How the model is run, for people to read."""
        return ""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps made so far."""

    @abstractmethod
    def run(self, request: Work) -> Events:
        """The events of ``request``, ``Done`` last; ``Unsupported`` for what this model cannot do.

        Closing the iterator cancels within a step.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the memory back."""
