"""Engines made as the process makes its own."""

from __future__ import annotations

from inference.engine.config import EngineConfig
from inference.engine.core import Engine
from inference.engine.handlers import load_handler
from inference.engine.memory import Memory
from inference.engine.notebook import Notebook
from inference.engine.residents import Residents


def engine_of(config: EngineConfig) -> Engine:
    notebook = Notebook(config.notebook)
    return Engine(Residents(load_handler, config, Memory(config, notebook), notebook), config)
