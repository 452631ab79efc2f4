"""One training batch of a head."""

from __future__ import annotations

from flax import struct

from jaxdiff.diffusion.features import Features, Labels


@struct.dataclass
class Batch:
    """What the frozen base says about a batch of rows, and what the rows ask of the head. B rows everywhere."""

    features: Features
    labels: Labels
