"""Imports run one way, and rooms keep to their libraries."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What the modules of a room of `jaxdiff` may import besides their own room. "" is the package, `jaxdiff/__init__.py`.
BOTTOM = {"config", "errors"}
MIDDLE = BOTTOM | {"base", "diffusion", "routing", "schema"}
MAY_IMPORT = {
    "errors": set(),
    "config": {"errors"},
    "sharding": {"errors"},
    "schema": BOTTOM,
    "base": BOTTOM | {"sharding"},
    "diffusion": MIDDLE - {"routing"},
    "routing": BOTTOM,
    "agent": MIDDLE,
    "runtime": MIDDLE | {"agent"},
    "command_options": {"agent"},
    "chat": MIDDLE | {"agent", "runtime", "command_options"},
    "": MIDDLE | {"agent", "runtime"},
    "extract_cli": MIDDLE | {"agent", "runtime", "chat", "command_options"},
    "cli": MIDDLE | {"agent", "runtime", "chat", "command_options", "extract_cli", ""},
}
INSTALLED_NAMES = {"jaxdiff": "jaxdiff", "train": "jaxdiff_train", "convert": "jaxdiff_convert"}
# The two places that hand over to the other packages, by an import inside a function.
LATE_IMPORTERS = {"jaxdiff/cli.py", "jaxdiff/base/store.py"}
# Where PyTorch may be imported: conversion, and comparison with it.
PYTORCH_PLACES = ("convert/", "tests/parity/", "benchmarks/reference.py")
# Used where somebody has it, and asked for by name where not; it would bring fifteen libraries to everybody's lock.
OPTIONAL_LIBRARIES = {"pyarrow", "wandb"}
JAX_LIBRARIES = {"jax", "jaxlib", "flax", "optax", "orbax", "chex"}


@dataclass(frozen=True)
class Import:
    """One import statement: the full dotted names that it may load, its line, and whether a function holds it."""

    names: tuple[str, ...]
    line: int
    late: bool


def read_imports(source: str, package: str) -> Iterator[Import]:
    """All imports of a module whose package is `package`, those by `import_module` with a literal name too."""

    def visit(node: ast.AST, late: bool) -> Iterator[Import]:
        match node:
            case ast.Import():
                for alias in node.names:
                    yield Import((alias.name,), node.lineno, late)
            case ast.ImportFrom():
                parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                module = ".".join([*parents, *([node.module] if node.module else [])])
                for alias in node.names:
                    yield Import((module, f"{module}.{alias.name}"), node.lineno, late)
            case ast.Call(
                func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(target)), *_]
            ):
                if name in {"import_module", "__import__"}:
                    yield Import((target,), node.lineno, late)
        late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, late)

    yield from visit(ast.parse(source), late=False)


def package_of(path: str) -> str:
    """Installed name of the package that holds the file at `path`."""
    folder, *rest = path.split("/")
    return ".".join([INSTALLED_NAMES.get(folder, folder), *rest[:-1]])


def room_of(names: tuple[str, ...], rooms: set[str]) -> str:
    """Room of `jaxdiff` that an import reads: `from jaxdiff import config` is the room, any other name the package."""
    return next((parts[1] for parts in (name.split(".") for name in names) if set(parts[1:2]) & rooms), "")


def violations(path: str, source: str, rooms: set[str]) -> list[str]:
    """Broken rules of the file at `path` (relative, with /), one line each."""
    folder, *rest = path.split("/")
    room = rest[0].removesuffix(".py").replace("__init__", "") if folder == "jaxdiff" else None
    broken = []
    for imported in read_imports(source, package_of(path)):
        top = imported.names[0].split(".")[0]
        rule = None
        if top in {"train", "convert"}:
            rule = f"{top} is a folder; its installed name is jaxdiff_{top}"
        elif top == "torch" and not path.startswith(PYTORCH_PLACES):
            rule = f"PyTorch stays in {', '.join(PYTORCH_PLACES)}"
        elif (folder, top) in {("train", "jaxdiff_convert"), ("convert", "jaxdiff_train")}:
            rule = "train and convert do not import one another"
        elif room is not None and top in {"jaxdiff_train", "jaxdiff_convert"}:
            if not (imported.late and path in LATE_IMPORTERS):
                rule = f"only {', '.join(sorted(LATE_IMPORTERS))} may, inside a function"
        elif room == "schema" and top in JAX_LIBRARIES:
            rule = "schema knows nothing of JAX"
        elif room is not None and top == "jaxdiff":
            target = room_of(imported.names, rooms)
            if room not in MAY_IMPORT:
                rule = f"the room {room!r} has no place in MAY_IMPORT"
            elif target != room and target not in MAY_IMPORT[room]:
                rule = f"{room or 'jaxdiff'} may import {', '.join(sorted(MAY_IMPORT[room])) or 'nothing'}"
        if rule:
            broken.append(f"{path}:{imported.line} imports {imported.names[-1]}: {rule}")
    return broken


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def jaxdiff_rooms() -> set[str]:
    return {path.stem for path in (ROOT / "jaxdiff").iterdir() if path.is_dir() or path.suffix == ".py"} - {"__init__"}


def test_imports_run_one_way():
    files = python_files("jaxdiff", "train", "convert", "benchmarks", "tests")
    assert len({path.relative_to(ROOT).parts[0] for path in files}) >= 4
    rooms = jaxdiff_rooms()
    broken = [line for path in files for line in violations(path.relative_to(ROOT).as_posix(), path.read_text(), rooms)]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("jaxdiff/agent/fill.py", "from jaxdiff.runtime.buckets import pick"),
        ("jaxdiff/agent/fill.py", "from jaxdiff import runtime"),
        ("jaxdiff/agent/fill.py", "from ..runtime import buckets"),
        ("jaxdiff/agent/fill.py", "from .. import runtime"),
        ("jaxdiff/agent/fill.py", "from jaxdiff import Agent"),
        ("jaxdiff/agent/fill.py", "import jaxdiff"),
        ("jaxdiff/agent/fill.py", "def f():\n    import jaxdiff.cli"),
        ("jaxdiff/base/module.py", "from jaxdiff.diffusion.heads import reader"),
        ("jaxdiff/base/module.py", "import importlib\nimportlib.import_module('jaxdiff.diffusion')"),
        ("jaxdiff/schema/merge.py", "from jaxdiff.base import tokenizer"),
        ("jaxdiff/schema/merge.py", "import jax.numpy as jnp"),
        ("jaxdiff/schema/merge.py", "def f():\n    from flax import struct"),
        ("jaxdiff/config.py", "from jaxdiff.schema import tools"),
        ("jaxdiff/errors.py", "from .config import BaseConfig"),
        ("jaxdiff/__init__.py", "from jaxdiff.cli import main"),
        ("jaxdiff/helpers.py", "from jaxdiff import config"),
        ("jaxdiff/cli.py", "from jaxdiff_train.cli import main"),
        ("jaxdiff/base/store.py", "if True:\n    import jaxdiff_convert"),
        ("jaxdiff/agent/load.py", "def f():\n    import jaxdiff_convert"),
        ("jaxdiff/base/module.py", "import torch"),
        ("train/loop.py", "import torch.nn"),
        ("tests/base/test_module.py", "def f():\n    import torch"),
        ("train/loop.py", "from jaxdiff_convert import save"),
        ("convert/cli.py", "def f():\n    import jaxdiff_train.data.rows"),
        ("tests/train/test_rows.py", "from train import rows"),
        ("benchmarks/__main__.py", "import convert.cli"),
        ("benchmarks/throughput.py", "def f():\n    import torch"),
    ],
)  # fmt: skip
def test_a_violation_is_caught(path, source):
    assert len(violations(path, source, jaxdiff_rooms() | {"cli"})) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("jaxdiff/__init__.py", "from jaxdiff.agent.api import Agent"),
        ("jaxdiff/cli.py", "import jaxdiff\ndef f():\n    from jaxdiff_train.cli import main"),
        ("jaxdiff/base/store.py", "def f():\n    import jaxdiff_convert"),
        ("jaxdiff/runtime/serve.py", "from ..agent import fill\nfrom . import buckets"),
        ("jaxdiff/agent/fill.py", "import jax\nfrom jaxdiff import config, errors\nfrom jaxdiff.schema import merge"),
        ("convert/pickled.py", "import torch\nfrom .naming import table\nfrom jaxdiff.config import BaseConfig"),
        ("tests/parity/test_base.py", "import torch, jaxdiff_convert, jaxdiff_train"),
        ("benchmarks/reference.py", "def f():\n    import torch"),
        ("train/loop.py", "from . import rows\nfrom jaxdiff.agent import prompting"),
    ],
)  # fmt: skip
def test_what_is_allowed_passes(path, source):
    assert violations(path, source, jaxdiff_rooms() | {"cli"}) == []


def distribution_name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement).group()).lower()


@pytest.mark.parametrize("folder", INSTALLED_NAMES)
def test_imported_libraries_are_declared(folder):
    """Every third-party import belongs to a dependency of the plain install, or to the extra that the folder is for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = project["dependencies"] + project["optional-dependencies"].get(folder, [])
    declared = {distribution_name(requirement) for requirement in requirements}
    providers = importlib.metadata.packages_distributions()
    missing = set()
    for path in python_files(folder):
        place = path.relative_to(ROOT).as_posix()
        for imported in read_imports(path.read_text(), package_of(place)):
            top = imported.names[0].split(".")[0]
            if top in sys.stdlib_module_names or top in OPTIONAL_LIBRARIES or top in INSTALLED_NAMES.values():
                continue
            if not declared & {distribution_name(name) for name in providers.get(top, [top])}:
                missing.add(f"{place}:{imported.line} imports {top}")
    assert not missing, "\n".join(sorted(missing))
