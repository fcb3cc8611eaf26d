"""HTML of the documentation's smallest parts: prose, and what a JSON Schema says."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

type Schema = Mapping[str, Any]

_LINK = re.compile(r"\[([^\]]+)\]\((https://[A-Za-z0-9._~:/?#%+,;=@-]+)\)")
_CODE = re.compile(r"`([^`]+)`")
_LENGTHS = (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "items"))


def prose(text: str) -> str:
    """One paragraph: escaped, with ``code`` and ``[links](https://…)`` of CommonMark and no more."""
    marked = _CODE.sub(r"<code>\1</code>", html.escape(text, quote=False))
    return _LINK.sub(r'<a href="\2">\1</a>', marked)


def paragraphs(text: str) -> str:
    """Paragraphs that empty lines part."""
    return "".join(f"<p>{prose(part)}</p>" for part in text.split("\n\n"))


def code(text: object) -> str:
    """A literal."""
    return f"<code>{html.escape(str(text))}</code>"


def anchor(kind: str, name: str) -> str:
    """The id of an element, unique on the page."""
    return html.escape(f"{kind}-{name}")


def type_of(schema: Schema) -> str:
    """What values the schema takes, in words."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f'<a href="#{anchor("schema", name)}">{html.escape(name)}</a>'
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(type_of(member) for member in schema[key])
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return " | ".join(code(value) for value in schema["enum"])
    if "type" not in schema:
        return "anything"
    return ", ".join((_plain_type(schema), *_constraints(schema)))


def _plain_type(schema: Schema) -> str:
    kind = str(schema["type"])
    if kind == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map of {type_of(schema['additionalProperties'])}"
    return html.escape(str(schema.get("format", kind)))


def _constraints(schema: Schema) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None or high is not None:
        yield _span(low, high)
    for least, most, unit in _LENGTHS:
        if least in schema or most in schema:
            yield f"{_span(schema.get(least), schema.get(most))} {unit}"
    if "pattern" in schema:
        yield code(schema["pattern"])


def _span(low: object, high: object) -> str:
    if high is None:
        return f"at least {low}"
    return f"at most {high}" if low is None else f"{low} to {high}"


def fields(schema: Schema) -> str:
    """The properties of an object as a list of definitions."""
    required = schema.get("required", ())
    return definitions(
        (name, type_of(each), name in required, str(each.get("description", "")), each.get("examples"))
        for name, each in schema.get("properties", {}).items()
    )


def definitions(rows: Iterator[tuple[str, str, bool, str, Any]]) -> str:
    """Name, type, whether it is required, meaning and examples of each, as a list of definitions."""
    made = []
    for name, type_, required, meaning, examples in rows:
        mark = '<span class="required">required</span>' if required else ""
        shown = "".join(f'<p class="example">e.g. {code(_text(each))}</p>' for each in examples or ())
        made.append(
            f'<div><dt>{code(name)} <span class="type">{type_}</span> {mark}</dt>'
            f"<dd>{paragraphs(meaning)}{shown}</dd></div>"
        )
    return f"<dl>{''.join(made)}</dl>" if made else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
