"""JSON Schema -> nodes: for each value what it may be."""

from jaxdiff.schema.normal.membership import contains
from jaxdiff.schema.normal.normalise import normalise

__all__ = ["contains", "normalise"]
