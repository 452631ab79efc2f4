"""Reading by looking up: what the base says of a row was computed before and comes with the batch."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.batch import Batch


def frozen_part(base: FrozenBase) -> dict[str, Any]:
    """The frozen parameters that a head itself looks at: the token embedding."""
    return {"embedding": base.embedding}


def attach_embedding(part: dict[str, Any], batch: Batch) -> Batch:
    """The batch with the embedding, which every step shares."""
    return dataclasses.replace(batch, features=dataclasses.replace(batch.features, embedding=part["embedding"]))
