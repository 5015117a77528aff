"""Compiles the kernels for the processor at hand, once; the library stays in a folder.

It takes about two seconds and runs while the engine starts, behind whatever else there is to do. A machine
without a C compiler goes without: models then run on torch's own operations.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
SOURCES = ("step.c", "chunk.c", "quantized.c", "dense.c")
HEADERS = ("numbers.h", "heads.h", "tiles.h")
# Sums may be taken in any order, so that many terms are added at once; it is the same for every row. With
# -O2 the loops over rows are not unrolled, and 16 rows in 8 bits take 2.5 times as long.
FLAGS = (
    *("-O3", "-march=native", "-std=gnu11", "-shared", "-fPIC", "-ffp-contract=fast"),
    *("-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros"),
)
# With threads where the compiler has them, else without.
THREADS = ("-fopenmp", "-fopenmp-simd")
COMPILE_SECONDS = 240
# Gives way to the engine, which starts meanwhile, but not for ever.
POLITELY = ("nice", "-n", "10")


def kernels_build(folder: Path) -> Path | None:
    """The library, from ``folder`` or else compiled into it; ``None`` where that cannot be."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        logger.info("There is no C compiler: models run on torch's own operations, more slowly.")
        return None
    library = folder / f"kernels-{_fingerprint(compiler)}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        if not any(_compile(compiler, threads, library) for threads in THREADS):
            return None
    return library


def _fingerprint(compiler: str) -> str:
    """Changes with everything that the library depends on: sources, flags, compiler, processor."""
    processor = Path("/proc/cpuinfo")
    parts = [
        *((FOLDER / name).read_text() for name in (*SOURCES, *HEADERS)),
        *FLAGS,
        *(compiler, platform.machine(), platform.processor()),
        *(line for line in _lines(processor) if line.startswith(("flags", "Features", "model name"))),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _lines(file: Path) -> list[str]:
    """The lines about the first processor; none where the system has no such file."""
    return file.read_text().split("\n\n")[0].splitlines() if file.exists() else []


def _compile(compiler: str, threads: str, library: Path) -> bool:
    # In a folder of its own and moved into place: two engines may do this at once.
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        draft = Path(scratch, library.name)
        sources = [str(FOLDER / name) for name in SOURCES]
        politely = POLITELY if shutil.which(POLITELY[0]) else ()
        command = [*politely, compiler, *FLAGS, threads, "-o", str(draft), *sources, "-lm"]
        try:
            subprocess.run(  # noqa: S603
                command, check=True, capture_output=True, text=True, timeout=COMPILE_SECONDS
            )
        except (OSError, subprocess.SubprocessError) as error:
            logger.warning("The kernels could not be compiled: %s", getattr(error, "stderr", "") or error)
            return False
        draft.replace(library)
    return True
