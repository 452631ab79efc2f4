"""What a JSON Schema comes down to: for each value what it may be, references resolved and `allOf` merged.

A node stands for a set of JSON values. Structure (which properties, how many items, which branch) is held by
construction; what structure cannot hold is left to `checks`, schemas that a value of the node must satisfy besides.
Children are made when they are asked for, so that a recursive schema is as large as what is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Protocol, TypeAlias


class Check(Protocol):
    """What structure cannot hold."""

    def is_valid(self, value: Any) -> bool:
        """Whether the value passes."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """What all nodes have.

    pointer: JSON pointer (RFC 6901) of the subschema, through the references that lead to it (`keywordLocation` of JSON
    Schema's output). description: what it says of itself, or an empty string. has_default, default: its `default`, only
    where it satisfies the schema. checks: what a value of the node must pass besides, as structure cannot hold it.
    """

    pointer: str = ""
    description: str = ""
    has_default: bool = False
    default: Any = field(default=None, compare=False)
    checks: tuple[Check, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Never(Described):
    """No value at all."""

    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Choice(Described):
    """One of these JSON values: `enum`, `const`, booleans, null."""

    values: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Text(Described):
    """A string. Lengths in code points; patterns: each is found in it (ECMA-262); formats: it has each of them.

    excluded_patterns: none of them is found in it. excluded_values: it is none of them.
    """

    min_length: int = 0
    max_length: int | None = None
    patterns: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    excluded_patterns: tuple[str, ...] = ()
    excluded_values: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Number(Described):
    """A number. Bounds are exact; multiples_of: it is a multiple of each.

    integer: its value is whole; whole_floats: then 1.0 is one too (not in draft 4).
    """

    integer: bool = False
    whole_floats: bool = True
    minimum: Fraction | None = None
    maximum: Fraction | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    multiples_of: tuple[Fraction, ...] = ()


class Lazy:
    """A node that is made when it is first asked for."""

    def __init__(self, make: Callable[[], Node]):
        self._make = make

    @cached_property
    def node(self) -> Node:
        """The node."""
        return self._make()


@dataclass(frozen=True, kw_only=True)
class Array(Described):
    """A list: the first items have nodes of their own, the others `items` (None: there are no others)."""

    prefix: tuple[Lazy, ...] = ()
    items: Lazy | None = None
    min_items: int = 0
    max_items: int | None = None
    unique: bool = False


@dataclass(frozen=True, kw_only=True)
class Property:
    """A named value of an object."""

    name: str
    value: Lazy
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Entries:
    """Values whose names are free: each name is a `key`, and none that the object declares.

    Where an object has several, a name belongs to at most one of them.
    """

    key: Text
    value: Lazy


@dataclass(frozen=True, kw_only=True)
class Object(Described):
    """An object: declared properties in schema order, and further entries where the schema allows them.

    requires: name -> names that must be there with it.
    """

    properties: tuple[Property, ...] = ()
    entries: tuple[Entries, ...] = ()
    min_properties: int = 0
    max_properties: int | None = None
    requires: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Union(Described):
    """A value of any of the branches."""

    branches: tuple[Lazy, ...]


Node: TypeAlias = Never | Choice | Text | Number | Array | Object | Union
