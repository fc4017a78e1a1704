"""JSON schemas, as the vendors take them.

https://platform.openai.com/docs/guides/structured-outputs, https://platform.claude.com/docs/en/build-with-claude/structured-outputs.
"""

from typing import Any

# Of a tool that takes free text, where tools take objects.
FREE_TEXT = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}
# Where a schema holds others: as values of a mapping, in a list, or as such.
_MAPPINGS, _LISTS, _SINGLE = ("properties", "$defs", "definitions"), ("anyOf", "oneOf", "allOf"), ("items",)
# What Anthropic does not check, and so refuses in a schema.
_UNCHECKED = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems",
    "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip


def of_tool(schema: Any) -> dict[str, Any]:
    """Give a tool's schema as one of an object with its properties named, which both vendors want."""
    if not isinstance(schema, dict):
        return {"type": "object", "properties": {}}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        return schema
    properties = schema.get("properties")
    return {**schema, "type": "object", "properties": properties if isinstance(properties, dict) else {}}


def is_strict(schema: Any) -> bool:
    """Tell whether OpenAI takes a schema as a strict one: each object closed, and each of its properties required."""
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "object" or "properties" in schema:
        properties, required = schema.get("properties"), schema.get("required")
        if schema.get("additionalProperties") is not False or not isinstance(properties, dict):
            return False
        if set(properties) != set(required if isinstance(required, list) else ()):
            return False
    return "oneOf" not in schema and "allOf" not in schema and all(is_strict(one) for one in _inner(schema))


def _inner(schema: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for name in _MAPPINGS:
        if isinstance(schema.get(name), dict):
            found += schema[name].values()
    for name in _LISTS:
        if isinstance(schema.get(name), list):
            found += schema[name]
    return found + [schema[name] for name in _SINGLE if name in schema]


def closed(schema: Any) -> Any:
    """Give a schema of an answer as Anthropic takes it: objects closed, and without the bounds that it does not check."""
    if not isinstance(schema, dict):
        return schema
    out = {name: value for name, value in schema.items() if name not in _UNCHECKED}
    if out.get("minItems") not in (None, 0, 1):
        del out["minItems"]
    for name in _MAPPINGS:
        if isinstance(out.get(name), dict):
            out[name] = {key: closed(value) for key, value in out[name].items()}
    for name in _LISTS:
        if isinstance(out.get(name), list):
            out[name] = [closed(value) for value in out[name]]
    for name in _SINGLE:
        if name in out:
            out[name] = closed(out[name])
    if "oneOf" in out and "anyOf" not in out:
        out["anyOf"] = out.pop("oneOf")
    if out.get("type") == "object" or "properties" in out:
        out["additionalProperties"] = False
    return out
