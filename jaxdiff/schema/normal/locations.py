"""Where a subschema stands: its dialect, what its references reach, and whether it accepts a value.

What the `jsonschema` library's validator of the dialect accepts is what a schema means here. References are resolved
by the `referencing` library among the schema itself and the known meta-schemas; nothing is fetched.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jsonschema import Draft3Validator
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from jsonschema_specifications import REGISTRY as META_SCHEMAS  # type: ignore[import-untyped]
from referencing import Specification
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, specification_with

from jaxdiff.errors import SchemaError, UnsupportedSchema
from jaxdiff.schema.fields import escape_pointer, validator_class


@dataclass(frozen=True, eq=False)
class Location:
    """One subschema, an object or a boolean.

    pointer: JSON pointer in the whole schema, through the references that led here. validator: of the dialect in force
    here. resolver: resolves references from here.
    """

    schema: Any
    pointer: str
    validator: Validator
    resolver: Any
    document: Any

    @cached_property
    def keywords(self) -> dict[str, Any]:
        """The keywords that the dialect knows, with their values; `$ref` alone where it hides the others."""
        if "$ref" in self.schema and "$recursiveRef" not in self.known and "$dynamicRef" not in self.known:
            return {"$ref": self.schema["$ref"]}
        return {name: value for name, value in self.schema.items() if name in self.known}

    @property
    def known(self) -> Any:
        """The names of the keywords that the dialect asserts."""
        return self.validator.VALIDATORS

    @property
    def whole_floats(self) -> bool:
        """Whether 1.0 is an integer here."""
        return self.validator.is_type(1.0, "integer")

    def at(self, *path: str | int) -> Location:
        """The subschema under these keys. Raises SchemaError where none is."""
        inner = self.schema
        for part in path:
            inner = inner[part]
        return self._enter(inner, self.pointer + "".join(f"/{escape_pointer(str(part))}" for part in path))

    def synthetic(self, schema: Any) -> Location:
        """A schema that stands for something said here, with the same references."""
        return Location(schema, self.pointer, self.validator, self.resolver, self.document)

    def follow(self, keyword: str) -> Location:
        """What the reference under `keyword` names. Raises UnsupportedSchema where it reaches nothing that is there."""
        name, pointer = self.schema[keyword], f"{self.pointer}/{escape_pointer(keyword)}"
        if not isinstance(name, str):
            raise SchemaError(f"{keyword} must be a string", pointer)
        if keyword != "$ref" and (count := _dynamic_targets(self.document, keyword, name)) > 1:
            raise UnsupportedSchema(keyword, pointer, f"{name!r} has {count} targets")
        try:
            found = self.resolver.lookup(name)
        except (Unresolvable, ValueError, TypeError, AttributeError, KeyError) as error:
            raise UnsupportedSchema(keyword, pointer, f"nothing at {name!r}") from error
        target = Location(self.schema, pointer, self.validator, found.resolver, self.document)
        return target._enter(found.contents, pointer, inside=False)

    def is_valid(self, value: Any) -> bool:
        """Whether the validator of the dialect accepts the value; formats are not asserted.

        Raises UnsupportedSchema where the validator fails on the schema itself.
        """
        try:
            errors = self.validator.descend(value, self.schema, resolver=self.resolver)  # type: ignore[attr-defined]
            return next(errors, None) is None
        except RecursionError as error:
            raise UnsupportedSchema("$ref", self.pointer, "a reference to itself without end") from error
        except (TypeError, AttributeError, KeyError) as error:
            raise UnsupportedSchema(", ".join(self.schema), self.pointer, f"the validator fails: {error}") from error

    def _enter(self, inner: Any, pointer: str, inside: bool = True) -> Location:
        if isinstance(inner, bool):
            return Location(inner, pointer, self.validator, self.resolver, self.document)
        if not isinstance(inner, dict):
            raise SchemaError(f"a schema must be an object or a boolean, not {inner!r:.60}", pointer)
        validator, resolver = self.validator, self.resolver
        if isinstance(inner.get("$schema"), str):
            validator = _validator(inner, type(validator))
        if inside and ("$id" in inner or "id" in inner):
            try:
                resolver = resolver.in_subresource(_specification(validator).create_resource(inner))
            except (ValueError, TypeError, AttributeError) as error:
                raise SchemaError(f"its identifier cannot be read: {error}", pointer) from error
        return Location(inner, pointer, validator, resolver, self.document)


def whole(schema: Any, dialect: str = "") -> Location:
    """The location of a whole schema. dialect: URI for a schema that names none; empty for draft 2020-12.

    Raises SchemaError for what is no schema, UnsupportedSchema for a dialect that is not known.
    """
    if not isinstance(schema, dict | bool):
        raise SchemaError(f"a schema must be an object or a boolean, not {type(schema).__name__}")
    named = schema.get("$schema", dialect) if isinstance(schema, dict) else dialect
    if not isinstance(named, str):
        raise SchemaError("$schema must be a string", "/$schema")
    found = validator_class(named)
    if found is Draft3Validator:
        raise UnsupportedSchema("$schema", "/$schema", "draft 3")
    validator = found(schema)
    try:
        resolver = META_SCHEMAS.resolver_with_root(_specification(validator).create_resource(schema))
    except (ValueError, TypeError, AttributeError) as error:
        raise SchemaError(f"its identifier cannot be read: {error}") from error
    return Location(schema, "", validator, resolver, schema)


def _validator(schema: dict[str, Any], otherwise: type[Validator]) -> Validator:
    with warnings.catch_warnings():
        # A dialect that is not known is read as the one around it, as the validator does.
        warnings.simplefilter("ignore", DeprecationWarning)
        return validator_for(schema, default=otherwise)({})


def _specification(validator: Validator) -> Specification[Any]:
    meta = validator.META_SCHEMA
    return specification_with(str(meta.get("$id") or meta.get("id")), default=DRAFT202012)


def _dynamic_targets(document: Any, keyword: str, name: str) -> int:
    """How many subschemas of the document the reference could mean, by who refers to it."""
    if keyword == "$recursiveRef":
        return sum(node.get("$recursiveAnchor") is True for node in _objects(document))
    anchor = name.rpartition("#")[2]
    return sum(node.get("$dynamicAnchor") == anchor for node in _objects(document))


def _objects(document: Any) -> Iterator[dict[str, Any]]:
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
