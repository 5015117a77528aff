"""What all tests share: a home of their own, a tiny model, a fake engine, a running server.

The home is set before Django reads its settings, so no test can touch the real one.
"""

from __future__ import annotations

import os
import tempfile

HOME = tempfile.mkdtemp(prefix="hugweb-test-")
for name in [name for name in os.environ if name.startswith(("HUGWEB_", "OLLAMA_", "HUGGINGFACE_"))]:
    del os.environ[name]
os.environ.update(
    HUGWEB_HOME=HOME,
    HF_HOME=f"{HOME}/hf",
    HF_HUB_OFFLINE="1",
    OMP_NUM_THREADS="1",
)
