"""What is found out about a schema once: its node, what is not supported, and a valid value to fall back to."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from referencing.exceptions import Unresolvable

from jaxdiff.errors import UnsupportedSchema
from jaxdiff.schema.fields import validator_class
from jaxdiff.schema.normal.nodes import Node
from jaxdiff.schema.normal.normalise import normalise
from jaxdiff.schema.scaffold.coverage import Dropped, look_through, unmet
from jaxdiff.schema.scaffold.endless import refuse_endless_references
from jaxdiff.schema.scaffold.feasibility import Feasibility
from jaxdiff.schema.scaffold.witness import WitnessSearch


@dataclass(frozen=True, eq=False)
class Prepared:
    """A schema, ready to be planned.

    dropped: branches that are never taken, as they are not supported while others of their union are. validator: of
    the whole schema; None for a node that has none.
    """

    node: Node
    witnesses: WitnessSearch
    dropped: tuple[Dropped, ...]
    whole_witness: Any
    validator: Validator | None = None

    @property
    def feasibility(self) -> Feasibility:
        """Which nodes can be completed."""
        return self.witnesses.feasibility

    def witness(self) -> Any:
        """A valid value."""
        return copy.deepcopy(self.whole_witness)

    def problem(self, value: Any) -> str | None:
        """Why the whole schema does not accept a value, or None where it does. Formats are not asserted."""
        if self.validator is None:
            return None
        error = best_match(self.validator.iter_errors(value))
        return None if error is None else f"{error.message[:200]} (at /{'/'.join(map(str, error.absolute_path))})"


def prepare(schema: Mapping[str, Any] | bool, dialect: str = "") -> Prepared:
    """Everything that planning needs, kept for schemas whose JSON text is the same.

    dialect: URI for a schema that names none; empty for draft 2020-12. Raises SchemaError for what is no valid schema,
    UnsupportedSchema for what cannot be guaranteed, with keyword and place. A union is as good as its best branch:
    others are dropped and listed.
    """
    return _prepared(json.dumps(schema), dialect)


def forget() -> None:
    """Empties what is kept, so that preparation can be timed."""
    _prepared.cache_clear()


@lru_cache(maxsize=1024)
def _prepared(text: str, dialect: str) -> Prepared:
    schema = json.loads(text)
    if 'Ref"' in text or '$ref"' in text:
        refuse_endless_references(schema, dialect)
    named = schema.get("$schema", dialect) if isinstance(schema, dict) else dialect
    return prepare_node(normalise(schema, dialect=dialect or None), validator_class(named)(schema))


def prepare_node(node: Node, validator: Validator | None = None) -> Prepared:
    """As `prepare`, for a node that is there already. validator: of the schema that it comes from."""
    witnesses = WitnessSearch()
    dropped = look_through(node, witnesses)
    if witnesses.feasibility.least_depth(node) is None:
        raise unmet(node, witnesses)
    found, value = witnesses.find(node)
    if not found:
        raise unmet(node, witnesses)
    prepared = Prepared(node, witnesses, dropped, value, validator)
    try:
        with warnings.catch_warnings():
            # Of references that `jsonschema` would fetch.
            warnings.simplefilter("error", DeprecationWarning)
            problem = prepared.problem(value)
    except (Unresolvable, DeprecationWarning, RecursionError) as error:
        raise UnsupportedSchema("$ref", "", f"a reference that leads nowhere: {error}") from error
    if problem:
        raise UnsupportedSchema(type(node).__name__, node.pointer, f"no valid value was found: {problem}")
    return prepared
