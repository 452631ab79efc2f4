"""Which properties count as evaluated where `unevaluatedProperties` stands (draft 2019-09, section 9.3.2.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from jaxdiff.schema.normal.facts import Atom, Facts
from jaxdiff.schema.normal.locations import Location

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


@dataclass(eq=False)
class Evaluated:
    """Names and patterns that some subschema of this place speaks of.

    certain: all of them count whatever the value is. open: a subschema speaks of names that it does not list.
    """

    names: dict[str, None] = field(default_factory=dict)
    patterns: dict[str, None] = field(default_factory=dict)
    certain: bool = True
    open: bool = False

    def rest(self, location: Location) -> Facts:
        """What `unevaluatedProperties` at `location` says if all these are evaluated, so that it says the least."""
        anything = Atom(location.synthetic(True))
        return Facts(
            properties=dict.fromkeys(self.names, anything),
            pattern_properties=dict.fromkeys(self.patterns, anything),
            additional=Atom(location.at("unevaluatedProperties")),
        )


def evaluated(location: Location) -> Evaluated:
    """What is evaluated beside the `unevaluatedProperties` of a subschema."""
    found = Evaluated()
    _collect(location, found, set())
    return found


def _collect(location: Location, found: Evaluated, seen: set[int]) -> None:
    if not isinstance(location.schema, dict) or id(location.schema) in seen:
        return
    outermost = not seen
    seen.add(id(location.schema))
    keywords = location.keywords
    found.names |= dict.fromkeys(keywords.get("properties", ()))
    found.patterns |= dict.fromkeys(keywords.get("patternProperties", ()))
    others = ("additionalProperties",) if outermost else ("additionalProperties", "unevaluatedProperties")
    found.open |= any(keywords.get(name, False) is not False for name in others)
    for inner, always in _beside(location):
        found.certain &= always
        _collect(inner, found, seen)


def _beside(location: Location) -> Iterator[tuple[Location, bool]]:
    """The subschemas that speak of the same value, and whether they always hold."""
    keywords = location.keywords
    for name in _REFERENCES:
        if name in keywords:
            yield location.follow(name), True
    for name in ("allOf", "anyOf", "oneOf"):
        for index in range(len(keywords.get(name, ()))):
            yield location.at(name, index), name == "allOf"
    for name in keywords.get("dependentSchemas", ()):
        yield location.at("dependentSchemas", name), False
    if "if" in keywords:
        for name in ("if", "then", "else"):
            if name in location.schema:
                yield location.at(name), False
