"""The process's kernels: compiled while the engine starts, asked for by whoever loads a model.

Nobody waits for them: a model runs on torch's operations until they are made, and then goes over to them, see
``inference.engine.promise``.

Imports no torch by itself, so that compiling begins before that is imported.
"""

from __future__ import annotations

import importlib
import logging
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from inference.engine.kernels.build import kernels_build

if TYPE_CHECKING:
    from inference.engine.kernels.library import Kernels

logger = logging.getLogger(__name__)


class KernelsInTheMaking:
    """Kernels that are there, are being made, or cannot be had."""

    def __init__(self, made: Kernels | None = None) -> None:
        self._made = made
        self._done = threading.Event()
        self._done.set()
        self._lock = threading.Lock()
        self._listeners: list[weakref.WeakMethod[Callable[[], object]]] = []

    def start(self, folder: Path) -> None:
        """Have the kernels made in ``folder``, in the background."""
        self._done.clear()
        threading.Thread(target=self._make, args=(folder,), name="kernels", daemon=True).start()

    @property
    def pending(self) -> bool:
        """Whether they are being made."""
        return not self._done.is_set()

    @property
    def made(self) -> Kernels | None:
        """The kernels, if they are there already."""
        return self._made

    def tell(self, listener: Callable[[], object]) -> None:
        """Call the method ``listener`` when they are no longer being made.

        At once, or later in another thread if its object is still there.
        """
        with self._lock:
            if self.pending:
                self._listeners.append(weakref.WeakMethod(listener))
                return
        listener()

    def _make(self, folder: Path) -> None:
        try:
            if library := kernels_build(folder):
                self._made = importlib.import_module("inference.engine.kernels.library").Kernels(library)
        except OSError:
            logger.warning("The kernels could not be loaded.", exc_info=True)
        finally:
            with self._lock:
                self._done.set()
                listeners, self._listeners = self._listeners, []
            for listener in listeners:
                if method := listener():
                    method()


KERNELS = KernelsInTheMaking()
