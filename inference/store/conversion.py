"""Has a GGUF file made into a model folder, in a process of its own.

The process knows no secrets and asks no Hub. Knows nothing of how the conversion is done:
``inference.engine.convert`` does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from inference.store.errors import ConversionFailed

TIMEOUT_SECONDS = 1800
MODULE = "inference.engine.convert"
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")


def gguf_convert(*, source: Path, target: Path) -> None:
    """Make the GGUF file ``source`` into the model folder ``target``."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        subprocess.run(  # noqa: S603 - a fixed command
            [sys.executable, "-m", MODULE, str(source), str(target)],
            env={**environment, "HF_HUB_OFFLINE": "1"},
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionFailed("Converting the model took longer than half an hour.") from error
    except subprocess.CalledProcessError as error:
        raise ConversionFailed(f"The model could not be converted: {_reason(error)}") from error


def _reason(error: subprocess.CalledProcessError) -> str:
    if error.returncode < 0:
        return f"the process was ended by signal {-error.returncode}, perhaps for want of memory."
    lines = [line for line in error.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"the process ended with {error.returncode}."
