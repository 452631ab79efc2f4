"""What one subschema says of values by itself, whatever its dialect calls it, and the opposite of that."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property
from typing import Any

from jaxdiff.schema.languages.parsing import compiled
from jaxdiff.schema.normal.locations import Location
from jaxdiff.schema.normal.numbers import Bound

# The types that exclude each other: a number is an integer or a fraction.
TYPES = ("string", "integer", "fraction", "boolean", "null", "array", "object")
NUMBER = frozenset({"integer", "fraction"})


@dataclass(frozen=True, eq=False)
class Atom:
    """A subschema that a value must satisfy, or, negated, must not."""

    location: Location
    negated: bool = False

    @property
    def key(self) -> tuple[int, bool]:
        """The same for the same subschema. Holds while the schema is alive."""
        return id(self.location.schema), self.negated

    @property
    def impossible(self) -> bool:
        """Whether it is a boolean, or the opposite of an empty schema, that lets nothing pass."""
        return self.location.schema is self.negated or (self.negated and self.location.schema == {})

    @property
    def trivial(self) -> bool:
        """Whether it is a boolean or an empty schema that lets everything pass."""
        schema = self.location.schema
        return schema is not self.negated if isinstance(schema, bool) else not schema and not self.negated

    def is_valid(self, value: Any) -> bool:
        """Whether the value passes."""
        return self.location.is_valid(value) is not self.negated

    def opposite(self) -> Atom:
        """What passes exactly when this does not."""
        return Atom(self.location, not self.negated)


@dataclass(frozen=True, eq=False, kw_only=True)
class Facts:
    """Keywords of one subschema that say something of the value itself, with one meaning for all dialects.

    types: None where not said, in the order in which they are named. lower, upper: (limit, whether it is excluded).
    Children are atoms: `additional` holds for the names that neither `properties` nor `pattern_properties` knows,
    `items` for what stands after `prefix`. requires: (name, names that must be there with it).
    """

    types: tuple[str, ...] | None = None
    whole_floats: bool = True
    enum: tuple[Any, ...] | None = None
    excluded_values: tuple[Any, ...] = ()
    lower: Bound | None = None
    upper: Bound | None = None
    multiple_of: Fraction | None = None
    min_length: int = 0
    max_length: int | None = None
    pattern: str | None = None
    excluded_pattern: str | None = None
    format: str | None = None
    properties: dict[str, Atom] | None = None
    pattern_properties: dict[str, Atom] | None = None
    additional: Atom | None = None
    property_names: Atom | None = None
    required: tuple[str, ...] = ()
    requires: tuple[tuple[str, tuple[str, ...]], ...] = ()
    min_properties: int = 0
    max_properties: int | None = None
    prefix: tuple[Atom, ...] = ()
    items: Atom | None = None
    min_items: int = 0
    max_items: int | None = None
    unique: bool = False

    @cached_property
    def about(self) -> frozenset[str]:
        """The types that the keywords other than `type` and `enum` speak of."""
        spoken = [types for name, types in _ABOUT.items() if getattr(self, name) != _DEFAULTS[name]]
        return frozenset(itertools.chain.from_iterable(spoken))

    def child(self, name: str) -> list[Atom]:
        """What the value of a property must satisfy."""
        found = [self.properties[name]] if self.properties and name in self.properties else []
        found += [atom for pattern, atom in (self.pattern_properties or {}).items() if compiled(pattern).search(name)]
        return found or ([self.additional] if self.additional else [])

    def item(self, index: int) -> list[Atom]:
        """What the item at this index must satisfy."""
        if index < len(self.prefix):
            return [self.prefix[index]]
        return [self.items] if self.items else []


# Which keywords speak of which types; those that are not named here speak of all.
_ABOUT: dict[str, frozenset[str]] = {
    **dict.fromkeys(("lower", "upper", "multiple_of"), NUMBER),
    **dict.fromkeys(
        ("min_length", "max_length", "pattern", "excluded_pattern", "format"), frozenset({"string"})
    ),
    **dict.fromkeys(
        (
            "properties", "pattern_properties", "additional", "property_names", "required", "requires",
            "min_properties", "max_properties",
        ),
        frozenset({"object"}),
    ),
    **dict.fromkeys(("prefix", "items", "min_items", "max_items", "unique"), frozenset({"array"})),
}  # fmt: skip
_DEFAULTS = {entry.name: entry.default for entry in fields(Facts)}


def opposites(facts: Facts, nothing: Atom) -> list[Facts] | None:
    """Facts of which one at least holds exactly where `facts` do not; None where they cannot be named.

    nothing: the atom that lets nothing pass. Formats are no part of it, as a validator does not assert them.
    """
    unnamed = ("multiple_of", "pattern_properties", "property_names", "items", "unique")
    if any(getattr(facts, name) for name in unnamed) or any(not atom.trivial for atom in facts.prefix):
        return None
    if facts.additional is not None and not facts.additional.trivial:
        return None
    return list(_opposites(facts, nothing))


def _opposites(facts: Facts, nothing: Atom) -> Iterator[Facts]:
    if facts.types is not None:
        others = tuple(name for name in TYPES if name not in facts.types)
        yield Facts(types=others, whole_floats=facts.whole_floats)
    if facts.enum is not None:
        yield Facts(excluded_values=facts.enum)
    if facts.excluded_values:
        yield Facts(enum=facts.excluded_values)
    number, string, array, object_ = ("integer", "fraction"), ("string",), ("array",), ("object",)
    if facts.lower:
        yield Facts(types=number, upper=(facts.lower[0], not facts.lower[1]))
    if facts.upper:
        yield Facts(types=number, lower=(facts.upper[0], not facts.upper[1]))
    if facts.min_length:
        yield Facts(types=string, max_length=facts.min_length - 1)
    if facts.max_length is not None:
        yield Facts(types=string, min_length=facts.max_length + 1)
    if facts.pattern is not None:
        yield Facts(types=string, excluded_pattern=facts.pattern)
    if facts.excluded_pattern is not None:
        yield Facts(types=string, pattern=facts.excluded_pattern)
    if facts.min_items:
        yield Facts(types=array, max_items=facts.min_items - 1)
    if facts.max_items is not None:
        yield Facts(types=array, min_items=facts.max_items + 1)
    for name in facts.required:
        yield Facts(types=object_, properties={name: nothing})
    for name, atom in (facts.properties or {}).items():
        if not atom.trivial:
            yield Facts(types=object_, properties={name: atom.opposite()}, required=(name,))
    for name, others in facts.requires:
        for other in others:
            yield Facts(types=object_, properties={other: nothing}, required=(name,))
    if facts.min_properties:
        yield Facts(types=object_, max_properties=facts.min_properties - 1)
    if facts.max_properties is not None:
        yield Facts(types=object_, min_properties=facts.max_properties + 1)
