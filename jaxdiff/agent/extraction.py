"""Extraction: what a text says, as an object of a JSON Schema; a call without tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxdiff.agent.result import ToolCall
from jaxdiff.errors import InputError
from jaxdiff.schema.leaves import fields_of
from jaxdiff.schema.normal.dialects import as_json_schema, dialect_of
from jaxdiff.schema.tools import Tool

# What the prompt calls a schema without a title.
UNNAMED = "extract"


@dataclass(frozen=True)
class Extraction:
    """What was found. found: values and how each came about, as of a call. timing_ms: wall clock by stage."""

    found: ToolCall
    timing_ms: dict[str, float]

    @property
    def value(self) -> dict[str, Any]:
        """The object, valid for the schema."""
        return self.found.arguments

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = self.found.to_dict()
        timing = {stage: round(value, 1) for stage, value in self.timing_ms.items()}
        return {"value": found.pop("arguments"), **found, "timing_ms": timing}


def schema_tool(schema: Any) -> Tool:
    """The schema as the head fills it: a function named by the title, its parameters the schema.

    Raises InputError for what is no schema of an object with properties, SchemaError and UnsupportedSchema.
    """
    if not isinstance(schema, dict):
        raise InputError(f"a schema must be a JSON object, not {type(schema).__name__}")
    schema, _ = as_json_schema(schema, dialect_of(schema))
    fields = fields_of(schema, "schema")
    if not fields:
        raise InputError("the schema has no properties: there is nothing to look for")
    title, description = schema.get("title"), schema.get("description")
    name = title if isinstance(title, str) and title.strip() else UNNAMED
    return Tool(name, description if isinstance(description, str) else "", schema, fields)
