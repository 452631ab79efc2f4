"""Types as people write them ("str, optional", "List[int]", "dict") -> JSON Schema.

Public tool lists rarely hold JSON Schema: they name Python types, and say what is optional in the type's text or in the
description. What is not understood is left without a constraint; nothing is guessed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from jaxdiff.schema.loose_values import fit_value, is_valid

Schema = dict[str, Any]

_KINDS = {
    "string": "str string text char character varchar date datetime time",
    "integer": "int integer long short int32 int64",
    "number": "float number double numeric decimal real float32 float64",
    "boolean": "bool boolean",
    "array": "list array tuple sequence iterable arraylist",
    "object": "dict dictionary object map mapping hashmap json",
    "null": "none null nonetype",
}
_WORDS: dict[str, Schema] = {word: {"type": kind} for kind, words in _KINDS.items() for word in words.split()}
_WORDS |= {word: {"type": "array", "uniqueItems": True} for word in ("set", "frozenset")}
LOOSE_WORDS = frozenset({*_WORDS, "any"})
"""Words, in lower case, that stand for a type and need no more."""
_LISTS = frozenset("list array sequence iterable set frozenset arraylist".split())
_OPTIONAL = re.compile(r"\boptional\b", re.IGNORECASE)
_COLLECTION_OF = re.compile(r"(list|array|set|tuple)s? of (.+?)s?", re.IGNORECASE)
# "Defaults to 5", "default: 'us'", "(Default is 0.5)", "default=True"; what is said must end where the value does.
_DEFAULT = re.compile(
    r"""\bdefaults?(?:\s+value)?(?:\s*[:=]|\s+(?:to|is))\s*"""
    r"""(?P<value>'[^']*'|"[^"]*"|`[^`]*`|-?\d+(?:\.\d+)?|[\w-]+)(?=\s*(?:[).,;]\s|[).,;]*$))""",
    re.IGNORECASE,
)


def read_type(text: str) -> tuple[Schema, bool]:
    """JSON Schema of a type as it is written, and whether it says that the value may be left out.

    "str, optional" -> ({"type": "string"}, True); "List[int]" -> an array of integers; "int or float" -> a number;
    "Literal['a', 'b']" -> an enum. Words that are not known give {}, which allows everything.
    """
    head, *rest = _split(text.strip(), ",")
    optional = any(re.search(r"\b(optional|default)", part, re.IGNORECASE) for part in rest)
    if _OPTIONAL.search(head) and not head.lower().startswith(("optional[", "typing.optional[")):
        head, optional = _OPTIONAL.sub("", head), True
    schema = _read_expression(head.strip(" ()"))
    kind = schema.get("type")
    if isinstance(kind, list) and "null" in kind:
        optional, kind = True, [name for name in kind if name != "null"]
        schema = schema | {"type": kind[0] if len(kind) == 1 else kind}
    return dict(schema), optional


def parameters_schema(parameters: Any) -> Schema:
    """JSON Schema of a function's arguments, from a schema with loose types or from {name: {"type", "description"}}.

    Of the second kind, required is what neither has a default nor is called optional. Raises ValueError for what is
    neither.
    """
    if not parameters:
        return {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise ValueError(f"parameters are {type(parameters).__name__}, not an object")
    if isinstance(parameters.get("properties"), Mapping) or isinstance(parameters.get("type"), str):
        schema, _ = json_schema(parameters)
        return schema | {"type": "object", "properties": schema.get("properties", {})}
    schema, _ = json_schema({"type": "object", "properties": parameters, "required": None})
    needed = [name for name in schema["properties"] if not _may_be_absent(parameters[name])]
    return schema | {"required": needed}


def json_schema(loose: Any) -> tuple[Schema, bool]:
    """A schema with its types in JSON Schema's words, and whether its own text says that it may be left out.

    Keys without a value are dropped, `required: true` in a property moves to its object, and a default that is only in
    the description is written as `default`. Raises ValueError for what is no schema.
    """
    if isinstance(loose, str):
        return read_type(loose)
    if not isinstance(loose, Mapping):
        raise ValueError(f"a schema is {type(loose).__name__}, not an object")
    schema = {key: value for key, value in loose.items() if value is not None and key not in ("optional", "required")}
    optional = loose.get("optional") is True
    if isinstance(schema.get("type"), str):
        read, said = read_type(schema.pop("type"))
        # What is written beside the type is more exact than what its text implies.
        schema, optional = read | schema, optional or said
    if not schema.get("enum", True):
        del schema["enum"]
    if "items" in schema:
        schema["items"] = json_schema(schema["items"])[0]
    required = loose.get("required")
    if isinstance(schema.get("properties"), Mapping):
        entries: Mapping[str, Any] = schema["properties"]
        read_entries = {name: json_schema(entry) for name, entry in entries.items() if entry is not None}
        schema["properties"] = {name: entry for name, (entry, _) in read_entries.items()}
        listed = list(required) if isinstance(required, list | tuple) else []
        listed += [
            name for name, entry in entries.items() if isinstance(entry, Mapping) and entry.get("required") is True
        ]
        names = [name for name in dict.fromkeys(listed) if name in read_entries and not read_entries[name][1]]
        if names:
            schema["required"] = names
    if "default" in schema and not is_valid(schema["default"], schema):
        del schema["default"]
    if "default" not in schema and (found := _said_default(schema)) is not None:
        schema["default"] = found
    return schema, optional


def _may_be_absent(entry: Any) -> bool:
    schema, optional = json_schema(entry)
    if isinstance(entry, Mapping) and isinstance(entry.get("required"), bool):
        return not entry["required"]
    said = entry.get("description") if isinstance(entry, Mapping) else None
    in_text = isinstance(said, str) and bool(re.match(r"\W*optional\b", said, re.IGNORECASE))
    return optional or "default" in schema or in_text or (isinstance(entry, Mapping) and "default" in entry)


def _said_default(schema: Schema) -> Any:
    """The default that a description states, in the schema's type; None where there is none."""
    said = schema.get("description")
    found = _DEFAULT.search(said) if isinstance(said, str) else None
    if found is None or schema.get("type") not in ("string", "integer", "number", "boolean"):
        return None
    text, quoted = found["value"], found["value"][0] in "'\"`"
    if not quoted and text.lower() in ("none", "null", "empty"):
        return None
    value = fit_value(text[1:-1] if quoted else text, schema)
    return value if is_valid(value, schema) else None


def _split(text: str, separator: str) -> list[str]:
    """Parts between separators that no bracket holds."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[({") - (character in "])}")
        if character == separator and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _read_expression(text: str) -> Schema:
    if (schema := _WORDS.get(text.lower())) is not None:
        return schema
    if found := _COLLECTION_OF.fullmatch(text):
        return _WORDS[found[1].lower()] | {"items": _read_expression(found[2])}
    choices = re.split(r"\s+or\s+|/", text)
    if len(choices) > 1:
        return _union([_read_expression(choice) for choice in choices])
    try:
        return _read_node(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError):
        return {}


def _read_node(node: ast.expr) -> Schema:
    match node:
        case ast.Name(id=word) | ast.Attribute(attr=word) | ast.Constant(value=str(word)):
            return _WORDS.get(word.lower(), {})
        case ast.Constant(value=None):
            return {"type": "null"}
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([_read_node(left), _read_node(right)])
        case ast.Subscript(value=ast.Name(id=word) | ast.Attribute(attr=word), slice=inside):
            return _read_generic(word.lower(), inside.elts if isinstance(inside, ast.Tuple) else [inside])
    return {}


def _read_generic(word: str, inside: list[ast.expr]) -> Schema:
    if word == "literal":
        return {"enum": [ast.literal_eval(entry) for entry in inside]}
    if word in ("optional", "union"):
        null = [{"type": "null"}] if word == "optional" else []
        return _union([_read_node(entry) for entry in inside] + null)
    if word == "tuple":
        open_ended = any(isinstance(entry, ast.Constant) and entry.value is ... for entry in inside)
        parts = [_read_node(entry) for entry in inside if not (isinstance(entry, ast.Constant) and entry.value is ...)]
        if all(part == parts[0] for part in parts):
            size = {} if open_ended else {"minItems": len(parts), "maxItems": len(parts)}
            return {"type": "array", "items": parts[0]} | size
        return {"type": "array", "prefixItems": parts}
    if word in _LISTS:
        return _WORDS[word] | {"items": _read_node(inside[0])}
    return _WORDS.get(word, {})


def _union(choices: list[Schema]) -> Schema:
    """One schema for several; plain types are joined, and integers are numbers."""
    distinct = [choice for i, choice in enumerate(choices) if choice not in choices[:i]]
    if {"type": "number"} in distinct:
        distinct = [choice for choice in distinct if choice != {"type": "integer"}]
    if len(distinct) == 1:
        return distinct[0]
    if {} in distinct:
        return {}
    null, others = {"type": "null"}, [choice for choice in distinct if choice != {"type": "null"}]
    if len(others) == 1 and null in distinct and isinstance(others[0].get("type"), str):
        return others[0] | {"type": [others[0]["type"], "null"]}
    if all(set(choice) == {"type"} for choice in distinct):
        return {"type": [choice["type"] for choice in distinct]}
    return {"anyOf": distinct}
