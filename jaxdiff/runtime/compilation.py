"""Compiled programs kept between runs, so that only the first query ever waits for the compiler."""

from __future__ import annotations

from typing import Any

import jax

from jaxdiff.base.store import cache_dir


def keep_compiled_programs() -> None:
    """Keeps compiled programs in the user's cache, unless JAX was already told where to keep them."""
    config: Any = jax.config
    if config.jax_compilation_cache_dir is None:
        config.update("jax_compilation_cache_dir", str(cache_dir() / "compiled"))
        config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
        config.update("jax_persistent_cache_min_entry_size_bytes", 0)
