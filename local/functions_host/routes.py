"""Route templates of ASP.NET, as the routes of HTTP functions are written.

Supported: literals, ``{name}``, ``{name:constraint}``, ``{name?}``, ``{name=default}``, ``{*rest}`` and
mixed segments such as ``{name}.{extension}``. Of two templates that match, the more specific one wins: a
literal beats a constrained parameter, that beats a plain one, and a catch-all comes last.

Source: learn.microsoft.com, "Routing in ASP.NET Core" (templates, constraints, precedence).
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class RouteError(ValueError):
    """A route template cannot be used; the sentence says why."""


class _Rank(IntEnum):
    """How specific a segment is; smaller goes first."""

    LITERAL = 1
    CONSTRAINED = 2
    PARAMETER = 3
    CONSTRAINED_CATCH_ALL = 4
    CATCH_ALL = 5


@dataclass(frozen=True)
class _Parameter:
    name: str
    constraints: tuple[Callable[[str], bool], ...]
    is_optional: bool
    is_catch_all: bool
    default: str | None

    def accepts(self, value: str) -> bool:
        return all(constraint(value) for constraint in self.constraints)


@dataclass(frozen=True)
class _Segment:
    parameters: tuple[_Parameter, ...]
    pattern: re.Pattern[str]
    rank: _Rank

    @property
    def whole(self) -> _Parameter | None:
        """The parameter that is all of the segment, if it is that."""
        return self.parameters[0] if self.rank > _Rank.CONSTRAINED or self._is_one_parameter else None

    @property
    def _is_one_parameter(self) -> bool:
        return len(self.parameters) == 1 and self.pattern.pattern == "(.+)"


@dataclass(frozen=True)
class RouteTemplate:
    """A parsed template."""

    text: str
    segments: tuple[_Segment, ...]

    @property
    def precedence(self) -> tuple[int, ...]:
        """Sort key: the template with the smaller one is tried first."""
        return tuple(segment.rank for segment in self.segments)

    def match(self, path: str) -> dict[str, str] | None:
        """The parameters of a raw (percent-encoded) path without its leading slash; none if it differs."""
        parts = path.rstrip("/").split("/") if path.strip("/") else []
        values: dict[str, str] = {}
        for position, segment in enumerate(self.segments):
            whole = segment.whole
            if whole is not None and whole.is_catch_all:
                return _catch_all(whole, parts[position:], values)
            if position >= len(parts):
                if whole is None or not (whole.is_optional or whole.default is not None):
                    return None
                if whole.default is not None:
                    values[whole.name] = whole.default
                continue
            if not _match_segment(segment, _decode(parts[position]), values):
                return None
        return values if len(parts) <= len(self.segments) else None


@dataclass(frozen=True)
class _Entry[T]:
    template: RouteTemplate
    methods: frozenset[str]
    """In upper case; empty means any."""
    target: T


class Router[T]:
    """Finds the target of a request."""

    def __init__(self) -> None:
        self._entries: list[_Entry[T]] = []

    def add(self, template: str, methods: Iterable[str], target: T) -> None:
        """Add a route.

        Raises:
            RouteError: the template cannot be used.
        """
        entry = _Entry(parse_template(template), frozenset(method.upper() for method in methods), target)
        self._entries.append(entry)
        self._entries.sort(key=lambda entry: entry.template.precedence)

    def find(self, method: str, path: str) -> tuple[T, dict[str, str]] | None:
        """The target and the route's parameters for a raw path without its leading slash."""
        for entry in self._entries:
            if entry.methods and method not in entry.methods:
                continue
            values = entry.template.match(path)
            if values is not None:
                return entry.target, values
        return None


def parse_template(text: str) -> RouteTemplate:
    """Parse a route template.

    Raises:
        RouteError: it is malformed, or uses a constraint that does not exist.
    """
    if text.startswith(("/", "~")):
        raise RouteError(f"The route '{text}' must not start with '/' or '~'.")
    parts = text.rstrip("/").split("/") if text else []
    segments = []
    seen: set[str] = set()
    for position, part in enumerate(parts):
        if not part:
            raise RouteError(f"The route '{text}' has an empty segment.")
        segment = _parse_segment(part, text)
        is_last = position == len(parts) - 1
        for parameter in segment.parameters:
            if parameter.name.lower() in seen:
                raise RouteError(f"The route '{text}' uses the parameter '{parameter.name}' twice.")
            seen.add(parameter.name.lower())
            if parameter.is_catch_all and not is_last:
                raise RouteError(f"The route '{text}': a catch-all parameter must come last.")
            if parameter.is_optional and not is_last:
                raise RouteError(f"The route '{text}': an optional parameter must come last.")
        segments.append(segment)
    return RouteTemplate(text, tuple(segments))


def _match_segment(segment: _Segment, value: str, values: dict[str, str]) -> bool:
    match = segment.pattern.fullmatch(value)
    if match is None:
        return False
    for parameter, text in zip(segment.parameters, match.groups(), strict=True):
        if not parameter.accepts(text):
            return False
        values[parameter.name] = text
    return True


def _catch_all(parameter: _Parameter, parts: list[str], values: dict[str, str]) -> dict[str, str] | None:
    rest = "/".join(_decode(part) for part in parts)
    if not rest:
        if parameter.default is not None:
            values[parameter.name] = parameter.default
        return values
    if not parameter.accepts(rest):
        return None
    values[parameter.name] = rest
    return values


def _decode(segment: str) -> str:
    # An encoded slash stays encoded, as in Kestrel: decoding it would change how many segments there are.
    return "%2F".join(unquote(piece) for piece in re.split("%2[Ff]", segment))


def _parse_segment(part: str, route: str) -> _Segment:
    literals, holes = _split(part, route)
    if not holes:
        return _Segment(
            (),
            re.compile(re.escape(part.replace("{{", "{").replace("}}", "}")), re.IGNORECASE),
            _Rank.LITERAL,
        )
    parameters = tuple(_parse_parameter(hole, route) for hole in holes)
    if len(parameters) == 1 and not any(literals):
        (parameter,) = parameters
        ranks = (
            (_Rank.CATCH_ALL, _Rank.CONSTRAINED_CATCH_ALL)
            if parameter.is_catch_all
            else (_Rank.PARAMETER, _Rank.CONSTRAINED)
        )
        return _Segment(parameters, re.compile("(.+)", re.DOTALL), ranks[bool(parameter.constraints)])
    if any(parameter.is_catch_all or parameter.is_optional for parameter in parameters):
        raise RouteError(f"The route '{route}': '{part}' mixes text with an optional or catch-all parameter.")
    pattern = "".join(f"{re.escape(literal)}(.+)" for literal in literals[:-1]) + re.escape(literals[-1])
    return _Segment(parameters, re.compile(pattern, re.IGNORECASE | re.DOTALL), _Rank.CONSTRAINED)


def _split(part: str, route: str) -> tuple[list[str], list[str]]:
    """The literals around the parameters of a segment, and what stands in the braces."""
    literals, holes = [""], []
    at = 0
    while at < len(part):
        if part[at : at + 2] in ("{{", "}}"):
            literals[-1] += part[at]
            at += 2
        elif part[at] == "{":
            end = _closing_brace(part, at, route)
            holes.append(part[at + 1 : end])
            literals.append("")
            at = end + 1
        elif part[at] == "}":
            raise RouteError(f"The route '{route}' has a '}}' without its '{{'.")
        else:
            literals[-1] += part[at]
            at += 1
    if any(not literal for literal in literals[1:-1]):
        raise RouteError(f"The route '{route}': two parameters need text between them.")
    return literals, holes


def _closing_brace(part: str, start: int, route: str) -> int:
    depth = 0  # braces nest in a regular expression such as {id:regex(^\d{3}$)}
    for at in range(start, len(part)):
        depth += {"{": 1, "}": -1}.get(part[at], 0)
        if depth == 0:
            return at
    raise RouteError(f"The route '{route}' has a '{{' without its '}}'.")


_PARAMETER = re.compile(
    r"(\*{0,2})([^:?=*{}/]+)((?::[^:=?(]+(?:\(.*?\)(?=[:=?]|$))?)*)(?:=(.*)|(\?))?", re.DOTALL
)
_CONSTRAINT = re.compile(r":([^:(]+)(?:\((.*?)\)(?=:|$))?", re.DOTALL)


def _parse_parameter(text: str, route: str) -> _Parameter:
    match = _PARAMETER.fullmatch(text)
    if match is None:
        raise RouteError(f"The route '{route}' has the malformed parameter '{{{text}}}'.")
    stars, name, constraints, default, question_mark = match.groups()
    return _Parameter(
        name=name,
        constraints=tuple(
            _constraint(kind, argument, route) for kind, argument in _CONSTRAINT.findall(constraints)
        ),
        is_optional=question_mark is not None,
        is_catch_all=bool(stars),
        default=default,
    )


def _number(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def is_valid(value: str) -> bool:
        try:
            parse(value)
        except ValueError:
            return False
        return True

    return is_valid


def _integer(bits: int) -> Callable[[str], bool]:
    limit = 1 << (bits - 1)
    return lambda value: re.fullmatch(r"[+-]?\d+", value) is not None and -limit <= int(value) < limit


_PLAIN_CONSTRAINTS: Mapping[str, Callable[[str], bool]] = {
    "int": _integer(32),
    "long": _integer(64),
    "bool": lambda value: value.lower() in ("true", "false"),
    "decimal": _number(float),
    "double": _number(float),
    "float": _number(float),
    "guid": _number(uuid.UUID),
    "datetime": _number(datetime.fromisoformat),
    "alpha": lambda value: re.fullmatch("[A-Za-z]*", value) is not None,
    "required": bool,
}


def _whole(value: str) -> int | None:
    return int(value) if re.fullmatch(r"[+-]?\d+", value) else None


def _in_range(value: str, low: int | None, high: int | None) -> bool:
    number = _whole(value)
    return number is not None and (low is None or number >= low) and (high is None or number <= high)


def _constraint(kind: str, argument: str, route: str) -> Callable[[str], bool]:
    kind = kind.strip().lower()
    if kind == "regex" and argument:
        try:
            pattern = re.compile(argument.replace("{{", "{").replace("}}", "}"), re.IGNORECASE)
        except re.error as error:
            raise RouteError(f"The route '{route}': the regular expression is wrong: {error}.") from error
        return lambda value: pattern.search(value) is not None
    if not argument and kind in _PLAIN_CONSTRAINTS:
        return _PLAIN_CONSTRAINTS[kind]
    numbers = [_whole(number.strip()) for number in argument.split(",")] if argument else []
    match kind, numbers:
        case "length", [int(exact)]:
            return lambda value: len(value) == exact
        case "length", [int(low), int(high)]:
            return lambda value: low <= len(value) <= high
        case "minlength", [int(low)]:
            return lambda value: len(value) >= low
        case "maxlength", [int(high)]:
            return lambda value: len(value) <= high
        case "min", [int(low)]:
            return lambda value: _in_range(value, low, None)
        case "max", [int(high)]:
            return lambda value: _in_range(value, None, high)
        case "range", [int(low), int(high)]:
            return lambda value: _in_range(value, low, high)
        case _:
            shown = f"{kind}({argument})" if argument else kind
            raise RouteError(f"The route '{route}' uses the constraint '{shown}', which does not exist.")
