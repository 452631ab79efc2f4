"""Settings that go together, by the machine they are for."""

from __future__ import annotations

from typing import Any

DEFAULT_PRESET = "cpu"
_SMOLLM3 = "HuggingFaceTB/SmolLM3-3B"

# A pod reads the 3B base anew in every step, in bfloat16, divided over the chips of a row of the mesh.
_POD: dict[str, Any] = {
    "base": _SMOLLM3,
    "reading": "online",
    "base_dtype": "bfloat16",
    "head_dtype": "bfloat16",
    "checkpoint_every": 500,
    "log_every": 20,
}

PRESETS: dict[str, dict[str, Any]] = {
    # The default base, rows read once and kept on disk.
    "cpu": {},
    # One GPU with 80 GB: the 3B base whole, four accumulated parts a batch.
    "gpu": _POD | {"batch_size": 128, "microbatches": 4, "steps": 3000},
    "v5e-16": _POD | {"batch_size": 256, "microbatches": 2, "steps": 3000, "mesh": "fsdp=16"},
    "v5e-256": _POD | {"batch_size": 2048, "steps": 2000, "mesh": "data=16,fsdp=16", "learning_rate": 3e-3},
}
