"""Reading a filter: text to tree, with errors that say where and what was expected.

::

    filter    = all *( "or" all )
    all       = one *( "and" one )
    one       = "not" one / "(" filter ")" / condition
    condition = text-field ( "=" / "!=" ) text
              / text-field [ "not" ] "in" "(" text *( "," text ) ")"
              / text-field [ "not" ] "like" text
              / "size" ( "=" / "!=" / "<" / "<=" / ">" / ">=" ) number [ unit ]
              / label [ "not" ] "exists"
"""

from __future__ import annotations

import difflib
import re
from fractions import Fraction
from typing import TYPE_CHECKING

from shared.errors import InvalidRequestError
from shared.files.labels import KEY_PATTERN
from shared.identity.owner import Owner
from shared.notifications.filter_glob import Wildcard
from shared.notifications.filter_tokens import TokenKind, Tokens, invalid
from shared.notifications.filter_tree import (
    CONTENT_TYPE,
    LABEL_PREFIX,
    NAME,
    OWNER,
    SIZE,
    UNIT_BYTES,
    And,
    Comparison,
    Exists,
    Like,
    Not,
    OneOf,
    Or,
    SizeIs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.notifications.filter_tokens import Token
    from shared.notifications.filter_tree import Node

MAX_DEPTH = 20
"""Parentheses and ``not`` within each other."""
MAX_SIZE_BYTES = 2**63 - 1

OPERATORS: Mapping[str, tuple[str, ...]] = {
    NAME: ("=", "!=", "like", "in"),
    CONTENT_TYPE: ("=", "!=", "like", "in"),
    SIZE: ("=", "!=", "<", "<=", ">", ">="),
    OWNER: ("=", "!=", "in"),
    LABEL_PREFIX: ("=", "!=", "like", "in", "exists"),
}
"""What can be asked of each field; LABEL_PREFIX stands for every label."""
_EXAMPLES: Mapping[str, str] = {
    NAME: '"report.pdf"',
    CONTENT_TYPE: '"image/png" or "image/*"',
    OWNER: '"<tenant id>/<object id>"',
    LABEL_PREFIX: '"draft"',
}
_KEYWORDS = frozenset({"and", "or", "not", "in", "like", "exists"})
_NEGATABLE = frozenset({"in", "like", "exists"})
_FOREIGN: Mapping[str, str] = {"==": "=", "<>": "!=", "&&": "and", "||": "or", "!": "not"}
"""How other languages write what a filter writes in another way."""

_UNITS: Mapping[str, int] = {unit.lower(): unit_bytes for unit, unit_bytes in UNIT_BYTES.items()}
_LABEL_KEY = re.compile(KEY_PATTERN)
_TYPE_WORD = r"[!#$%&'+.^_`|~0-9a-z-]+"
_MEDIA_RANGE = re.compile(rf"{_TYPE_WORD}/(?:{_TYPE_WORD}|\*)|\*/\*")
_PARTITION = re.compile(r"[0-9a-f]{32}")


def parse(text: str) -> Node:
    """The tree of a filter; raises InvalidRequestError (``invalid-filter``)."""
    return _Parser(Tokens(text)).whole()


def owner_partition(text: str) -> str:
    """The partition of an owner as a filter names it: by the name of the partition or by its ids.

    Raises InvalidRequestError for anything else.
    """
    return text if _PARTITION.fullmatch(text) else Owner.parse(text).partition


class _Parser:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._depth = 0

    def whole(self) -> Node:
        if self._tokens.at_end():
            raise invalid(1, "a filter that is left out lets every file pass; an empty one says nothing")
        node = self._any()
        if not self._tokens.at_end():
            raise self._expected("'and', 'or' or the end")
        return node

    def _any(self) -> Node:
        nodes = [self._all()]
        while self._took_word("or"):
            nodes.append(self._all())
        return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))

    def _all(self) -> Node:
        nodes = [self._one()]
        while self._took_word("and"):
            nodes.append(self._one())
        return nodes[0] if len(nodes) == 1 else And(tuple(nodes))

    def _one(self) -> Node:
        start = self._tokens.present
        if self._took_word("not"):
            self._enter(start)
            node: Node = Not(self._one())
        elif self._took_symbol("("):
            self._enter(start)
            node = self._any()
            if not self._took_symbol(")"):
                raise self._expected(f"'and', 'or' or the ')' for the '(' at character {start.position}")
        else:
            return self._condition()
        self._depth -= 1
        return node

    def _enter(self, token: Token) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise invalid(
                token.position, f"parentheses and 'not' go at most {MAX_DEPTH} deep into each other"
            )

    def _condition(self) -> Node:
        field = self._field()
        operators = OPERATORS[_kind(field)]
        negated = not _NEGATABLE.isdisjoint(operators) and self._took_word("not")
        token = self._tokens.present
        operator = token.text.lower() if token.kind in {TokenKind.WORD, TokenKind.SYMBOL} else ""
        if operator not in operators or (negated and operator not in _NEGATABLE):
            raise self._expected(_operators_in_words(operators, negated=negated))
        self._tokens.take()
        if operator == "!=":
            negated, operator = True, "="
        node = self._right_side(field, operator)
        return Not(node) if negated else node

    def _right_side(self, field: str, operator: str) -> Node:
        if field == SIZE:
            return SizeIs(Comparison(operator), self._size())
        match operator:
            case "exists":
                return Exists(field)
            case "like":
                return Like(field, self._quoted('a pattern in quotes, such as "*.png"').glob)
            case "in":
                return OneOf(field, self._texts(field))
            case _:
                return OneOf(field, (self._text(field),))

    def _field(self) -> str:
        token = self._tokens.present
        name = token.text.lower()
        if token.kind is not TokenKind.WORD or name in _KEYWORDS:
            raise self._expected("a field (name, content_type, size, owner, label.<key>), 'not' or '('")
        if name.startswith(LABEL_PREFIX):
            if _LABEL_KEY.fullmatch(name.removeprefix(LABEL_PREFIX)) is None:
                raise invalid(token.position, "a label is label.<key>, with a key of 1 to 63 characters")
        elif name not in OPERATORS:
            raise invalid(token.position, f"{token} is no field{_suggestion(name)}")
        self._tokens.take()
        return name

    def _texts(self, field: str) -> tuple[str, ...]:
        if not self._took_symbol("("):
            raise self._expected(f"a list in parentheses, such as ({_example(field)})")
        texts = [self._text(field)]
        while self._took_symbol(","):
            texts.append(self._text(field))
        if not self._took_symbol(")"):
            raise self._expected("',' or ')'")
        return tuple(texts)

    def _text(self, field: str) -> str:
        token = self._quoted(f"a text in quotes, such as {_example(field)}")
        text = "".join(piece.value if isinstance(piece, Wildcard) else piece for piece in token.glob)
        check = _CHECKS.get(field)
        if check is not None:
            return check(token, text)
        if Wildcard.ANY in token.glob:
            raise invalid(token.position, "a pattern with * needs 'like'; for the character itself write \\*")
        return text

    def _quoted(self, expected: str) -> Token:
        if self._tokens.present.kind is not TokenKind.QUOTED:
            raise self._expected(expected)
        return self._tokens.take()

    def _size(self) -> int:
        if self._tokens.present.kind is not TokenKind.NUMBER:
            raise self._expected("a size, such as 10 MB")
        number = self._tokens.take()
        unit_bytes = 1
        unit = self._tokens.present
        if unit.kind is TokenKind.WORD and unit.text.lower() not in _KEYWORDS:
            if unit.text.lower() not in _UNITS:
                raise self._expected(f"a unit ({', '.join(UNIT_BYTES)}), 'and', 'or' or the end")
            unit_bytes = _UNITS[self._tokens.take().text.lower()]
        size_bytes = Fraction(number.text) * unit_bytes
        if size_bytes.denominator != 1:
            raise invalid(number.position, "that is not a whole number of bytes")
        if size_bytes > MAX_SIZE_BYTES:
            raise invalid(number.position, "no file is that large")
        return int(size_bytes)

    def _took_word(self, word: str) -> bool:
        return self._took(TokenKind.WORD, word)

    def _took_symbol(self, symbol: str) -> bool:
        return self._took(TokenKind.SYMBOL, symbol)

    def _took(self, kind: TokenKind, text: str) -> bool:
        found = self._tokens.present.kind is kind and self._tokens.present.text.lower() == text
        if found:
            self._tokens.take()
        return found

    def _expected(self, what: str) -> InvalidRequestError:
        token = self._tokens.present
        if token.kind is TokenKind.SYMBOL and token.text in _FOREIGN:
            return invalid(token.position, f"write '{_FOREIGN[token.text]}', not {token}")
        return invalid(token.position, f"expected {what}, not {token}")


def _checked_content_type(token: Token, text: str) -> str:
    media_range = text.strip().lower()
    if _MEDIA_RANGE.fullmatch(media_range) is None:
        raise invalid(
            token.position,
            f"a content type is {_EXAMPLES[CONTENT_TYPE]}, without parameters; else use 'like'",
        )
    return media_range


def _checked_owner(token: Token, text: str) -> str:
    try:
        owner_partition(text)
    except InvalidRequestError:
        raise invalid(token.position, "an owner is <tenant id>/<object id>") from None
    return text


_CHECKS: Mapping[str, Callable[[Token, str], str]] = {
    CONTENT_TYPE: _checked_content_type,
    OWNER: _checked_owner,
}


def _kind(field: str) -> str:
    return LABEL_PREFIX if field.startswith(LABEL_PREFIX) else field


def _example(field: str) -> str:
    return _EXAMPLES[_kind(field)]


def _operators_in_words(operators: tuple[str, ...], *, negated: bool) -> str:
    *others, last = (f"'{each}'" for each in operators if not negated or each in _NEGATABLE)
    return f"{', '.join(others)} or {last}" if others else last


def _suggestion(name: str) -> str:
    if name in {"label", "labels"} or name.startswith("labels."):
        return "; write label.<key>"
    close = difflib.get_close_matches(name, [NAME, CONTENT_TYPE, SIZE, OWNER], n=1, cutoff=0.5)
    return (
        f"; did you mean '{close[0]}'"
        if close
        else "; there are name, content_type, size, owner, label.<key>"
    )
