"""What subschemas say of themselves besides what they ask for: descriptions and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jaxdiff.schema.normal.conjunction import Case
from jaxdiff.schema.normal.facts import Atom
from jaxdiff.schema.normal.locations import Location
from jaxdiff.schema.normal.membership import contains
from jaxdiff.schema.normal.nodes import Node


def pointer_of(case: Case, atoms: Sequence[Atom]) -> str:
    """Where a case stands: at the first subschema that is its own, else at the whole."""
    own = case.said[case.common :]
    return own[0].pointer if own else atoms[0].location.pointer if atoms else ""


def said_of(said: Sequence[Location], atoms: Sequence[Atom]) -> dict[str, Any]:
    """The first description, else the first title; the first default, if it satisfies the atoms and who says it."""
    found: dict[str, Any] = {}
    texts = [location.schema.get(keyword) for keyword in ("description", "title") for location in said]
    if text := next((text for text in texts if isinstance(text, str) and text), None):
        found["description"] = text
    if (place := next((location for location in said if "default" in location.schema), None)) is not None:
        value = place.schema["default"]
        if place.is_valid(value) and all(atom.is_valid(value) for atom in atoms):
            found |= {"has_default": True, "default": value}
    return found


def with_common(node: Node, common: dict[str, Any]) -> Node:
    """The node of a case with what is said of all cases where it says nothing itself."""
    added = {}
    if not node.description and "description" in common:
        added["description"] = common["description"]
    if not node.has_default and "default" in common and contains(node, common["default"], formats=False):
        added |= {"has_default": True, "default": common["default"]}
    return replace(node, **added) if added else node
