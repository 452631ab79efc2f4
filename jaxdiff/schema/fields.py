"""What one value of a call asks for, and the dialects of JSON Schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

from jaxdiff.errors import UnsupportedSchema


class _UnknownDialect:
    """Stands for the validator that there is none of."""


class Kind(StrEnum):
    """What a slot holds."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    ARRAY = "array"


@dataclass(frozen=True)
class Step:
    """A value on the way to a field that is there or not, in one of several ways.

    pointer: of the value. branch: by which of its `count` branches the way goes.
    optional: the value may be absent where what is around it is there; required_with: see `Field`.
    """

    pointer: str
    branch: int = 0
    count: int = 1
    optional: bool = True
    required_with: str = ""


@dataclass(frozen=True)
class Standing:
    """One of the places in a schema where a field stands.

    steps: the way there, outermost first. required: who has come there has the field. only: the field as it is there,
    where it is not so everywhere.
    """

    steps: tuple[Step, ...]
    required: bool
    only: Field | None = None


@dataclass(frozen=True)
class Field:
    """One scalar value of a tool's arguments, or a list of scalars.

    name: its path as words have it ("address.city", "guests[0].name"); its pointer where another has that name.
    pointer: JSON pointer (RFC 6901) of its value in the arguments, but that the nth item of a list is `~itemN` of it,
    and key and value of the nth entry of a map are `~keyN` and `~valueN`.
    required: every call has it. required_with: pointer of the optional value that it is required in; empty where it is
    required or optional by itself.
    item_kind: kind of the items of an array, else None.
    candidates: the JSON values allowed by `enum` or `const`, (True, False) for a boolean, else ().
    item_candidates, item_alternatives: of an array, what `candidates` and `alternatives` are for its items.
    empty_values: of the name of an entry, what the entry's value can be where no other field has a part of it.
    schema: its own JSON Schema. nullable: it may be null, whether `schema` says so or not.
    alternatives: the field as each of the kinds that it may be of; empty where there is one. The first has its `kind`.
    standings: where it stands, if it does so below a union of which a call takes one branch.
    dialect: `$schema` of the whole, which the property's schema is read under; empty for draft 2020-12.
    """

    name: str
    pointer: str
    kind: Kind
    required: bool
    description: str
    schema: dict[str, Any] = field(hash=False)
    item_kind: Kind | None = None
    candidates: tuple[Any, ...] = field(default=(), hash=False)
    item_candidates: tuple[Any, ...] = field(default=(), hash=False)
    has_default: bool = False
    dialect: str = ""
    required_with: str = ""
    empty_values: tuple[Any, ...] = field(default=(), hash=False)
    nullable: bool = False
    alternatives: tuple[Field, ...] = field(default=(), hash=False)
    item_alternatives: tuple[Field, ...] = field(default=(), hash=False)
    standings: tuple[Standing, ...] = field(default=(), hash=False)

    @property
    def first(self) -> Field:
        """The first of its alternatives, itself where there are none."""
        return self.alternatives[0] if self.alternatives else self

    @property
    def format(self) -> str:
        """The `format` annotation, or an empty string."""
        found = self.schema.get("format", "")
        return found if isinstance(found, str) else ""


def escape_pointer(name: str) -> str:
    """One reference token of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def unescape_pointer(token: str) -> str:
    """Inverse of `escape_pointer`."""
    return token.replace("~1", "/").replace("~0", "~")


def validator_class(dialect: str) -> type[Validator]:
    """The `jsonschema` validator of a `$schema` URI; draft 2020-12 for an empty one. Raises UnsupportedSchema."""
    if not dialect:
        return Draft202012Validator
    # The default stands for a dialect that the library does not know.
    found = validator_for({"$schema": dialect}, default=_UnknownDialect)  # type: ignore[arg-type]
    if found is _UnknownDialect:
        raise UnsupportedSchema("$schema", "/$schema", f"unknown dialect {dialect!r}")
    return found
