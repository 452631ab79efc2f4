"""One field from several at the same place: what branches say of the same value, or the kinds that it may be of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.normal.membership import equal

_ANNOTATIONS = frozenset("title description default examples deprecated readOnly writeOnly $comment".split())


def joined(fields: Sequence[Field]) -> Field:
    """The field that stands for all of these: its values are those of any. The first gives name and descriptions.

    Listed values become one list; other fields become alternatives. What each allows stays in its `standings`.
    """
    if len(fields) == 1:
        return fields[0]
    one = alternatives(fields)
    differ = len(_distinct([kind for field in fields for kind in field.alternatives or (field,)])) > 1
    standings = tuple(
        replace(standing, only=replace(field, standings=())) if differ else standing
        for field in fields
        for standing in field.standings
    )
    return replace(one, required=all(field.required for field in fields), standings=standings)


def alternatives(fields: Sequence[Field]) -> Field:
    """The field whose values are those of any of these, otherwise as the first."""
    first, kinds = fields[0], _distinct([kind for field in fields for kind in field.alternatives or (field,)])
    if len(fields) == 1:
        return first
    found = replace(first, nullable=any(field.nullable for field in fields))
    if len(kinds) == 1:
        return found
    if all(kind.candidates for kind in kinds):
        return _listed(found, kinds)
    schema: dict[str, Any] = {"anyOf": [kind.schema for kind in kinds]}
    return replace(found, schema=schema, alternatives=tuple(kinds))


def surely_required(fields: Sequence[Field]) -> Iterator[Field]:
    """Takes `required_with` from fields that some branch lacks, though it has others of the same optional value."""
    for field in fields:
        ways = [standing.steps for standing in field.standings]
        inside = f"{field.required_with}/"
        others = [other for other in fields if ways and field.required_with and other.pointer.startswith(inside)]
        everywhere = all(
            any(standing.steps[: len(way)] == way for way in ways) for other in others for standing in other.standings
        )
        yield field if everywhere else replace(field, required_with="")


def _distinct(fields: Sequence[Field]) -> list[Field]:
    """The fields that differ in the values that they allow."""
    found: list[Field] = []
    for field in fields:
        if not any(_allowed(field) == _allowed(other) for other in found):
            found.append(replace(field, standings=(), nullable=False))
    return found


def _allowed(field: Field) -> tuple[Any, ...]:
    rules = {keyword: value for keyword, value in field.schema.items() if keyword not in _ANNOTATIONS}
    return field.kind, field.item_kind, repr(rules), repr(field.candidates), repr(field.item_candidates)


def _listed(field: Field, kinds: Sequence[Field]) -> Field:
    candidates: list[Any] = []
    for kind in kinds:
        candidates += [value for value in kind.candidates if not any(equal(value, known) for known in candidates)]
    types = {str(kind.schema.get("type", "")) for kind in kinds}
    typed = {"type": types.pop()} if len(types) == 1 else {}
    boolean = set(map(repr, candidates)) == {"True", "False"}
    return replace(
        field,
        kind=Kind.BOOLEAN if boolean else Kind.ENUM,
        candidates=(True, False) if boolean else tuple(candidates),
        schema={**{name: value for name, value in typed.items() if value}, "enum": candidates},
    )
