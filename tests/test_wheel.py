"""The wheel: what is inside, and that it answers a query with the libraries it declares and no others.

The wheel is installed by pip into an empty environment. To save a download, its dependencies are linked in from the
running environment, exactly those reached from the wheel's own metadata; so a library that the plain install does not
declare is missing there, while pip's choice of versions is not tested here.
"""

import ast
import email
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
FOLDERS = {"jaxdiff": "jaxdiff", "train": "jaxdiff_train", "convert": "jaxdiff_convert"}
TOOL = {
    "type": "function",
    "function": {
        "name": "book_table",
        "description": "Book a table at a restaurant",
        "parameters": {
            "type": "object",
            "properties": {
                "restaurant": {"type": "string", "description": "Name of the restaurant"},
                "people": {"type": "integer", "description": "Number of guests"},
            },
            "required": ["restaurant", "people"],
        },
    },
}


@dataclass(frozen=True)
class Wheel:
    """A built wheel, the paths inside, and the fields of its METADATA."""

    path: Path
    names: frozenset[str]
    metadata: Message


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a program started outside of this checkout's import paths; fails with what it printed."""
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}}
    done = subprocess.run(command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Wheel:
    # A copy, because setuptools packs whatever an earlier build left in the source's build folder.
    source = tmp_path_factory.mktemp("source") / "jaxdiff"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "runs")
    )
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", cwd=source)
    (path,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = frozenset(archive.namelist())
        (metadata_name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        return Wheel(path, names, email.message_from_bytes(archive.read(metadata_name)))


def needed_distributions(requirements: list[str]) -> dict[str, importlib.metadata.Distribution]:
    """Every installed distribution that the requirements reach, markers and extras applied, by canonical name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in {"", *requirement.extras}:
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                found[name] = importlib.metadata.distribution(name)
                waiting += [(Requirement(text), wanted) for text in found[name].requires or []]
    return found


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel installed by pip, and its declared dependencies linked in."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel.path, cwd=folder)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    for distribution in needed_distributions(wheel.metadata.get_all("Requires-Dist")).values():
        for file in distribution.files or []:
            top = file.parts[0]
            link = site_packages / top
            if top not in {"..", "__pycache__"} and not link.exists():
                link.symlink_to(distribution.locate_file(top))
    return folder


def test_top_level_names(wheel):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    tops = {name.split("/")[0] for name in wheel.names}
    assert tops == {*FOLDERS.values(), f"jaxdiff-{version}.dist-info"}


def test_every_module_and_asset_is_packed(wheel):
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    files += [path for path in (ROOT / "jaxdiff" / "assets").rglob("*") if path.is_file()]
    files += (ROOT / "train" / "packs").glob("*.jsonl")
    places = [path.relative_to(ROOT) for path in files if "__pycache__" not in path.parts]
    expected = {Path(FOLDERS[place.parts[0]], *place.parts[1:]).as_posix() for place in places}
    assert {name for name in wheel.names if ".dist-info/" not in name} == expected


def test_licence_and_notice_are_packed(wheel):
    assert wheel.metadata["License-Expression"] == "Apache-2.0"
    assert {name.rsplit("/", 1)[1] for name in wheel.names if "/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_plain_install_needs_no_pytorch_and_no_accelerator(wheel):
    needed = set(needed_distributions(wheel.metadata.get_all("Requires-Dist")))
    assert {"jax", "flax", "jaxlib"} <= needed
    assert not {name for name in needed if name in {"torch", "transformers", "libtpu"} or "cuda" in name}


def test_modules_come_from_the_wheel_and_nothing_else_is_there(environment, tmp_path):
    python = environment / "bin" / "python"
    origins = "from importlib.util import find_spec; import sys; print([find_spec(n).origin for n in sys.argv[1:]])"
    for origin in ast.literal_eval(run(python, "-c", origins, *FOLDERS.values(), cwd=tmp_path)):
        assert Path(origin).is_relative_to(environment)
    present = "from importlib.util import find_spec; import sys; print([n for n in sys.argv[1:] if find_spec(n)])"
    assert run(python, "-c", present, "train", "convert", "tests", "pytest", "torch", cwd=tmp_path) == "[]\n"


def test_wheel_answers_a_query(environment, tmp_path):
    (tmp_path / "tools.json").write_text(json.dumps([TOOL]))
    query = "Book a table for four at Nonna Rosa"
    printed = run(environment / "bin" / "jaxdiff", "call", query, "--tools", "tools.json", "--json", cwd=tmp_path)
    answer = json.loads(printed)
    assert set(answer) == {"mode", "text", "calls", "timing_ms", "thinking", "modes"}
    (call,) = answer["calls"]
    assert call["name"] == "book_table"
    jsonschema.validate(call["arguments"], TOOL["function"]["parameters"])
    assert answer["text"] is None
    assert 0 <= call["confidence"] <= 1
