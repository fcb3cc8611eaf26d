from __future__ import annotations

import re
import time
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.errors import InvalidRequestError
from shared.identity.owner import Owner
from shared.notifications.filter import COMPILED_FILTERS, FilterSubject, compile_filter
from shared.notifications.filter_glob import Wildcard
from shared.notifications.filter_parser import MAX_DEPTH, MAX_SIZE_BYTES, OPERATORS, parse
from shared.notifications.filter_tokens import MAX_CHARACTERS
from shared.notifications.filter_tree import (
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
    from collections.abc import Mapping

    from shared.notifications.filter_tree import Node

PAGE = (Path(__file__).parent.parent.parent.parent / "docs" / "filters.md").read_text(encoding="utf-8")
OWNER = "0123456789abcdef0123456789abcdef"


def subject(
    name: str = "a.txt",
    content_type: str = "text/plain",
    size_bytes: int = 1,
    labels: Mapping[str, str] | None = None,
    owner: str = OWNER,
) -> FilterSubject:
    return FilterSubject(name, content_type, size_bytes, labels or {}, owner)


def passes(text: str, file: FilterSubject) -> bool:
    return compile_filter(text).matches(file)


# The page


def file_of(cell: str) -> FilterSubject:
    pairs = re.findall(r"(name|content_type|size|owner|label\.\w+)=(.*?)(?= (?:name|size)=|$)", cell)
    values = dict(pairs or [("name", cell)])
    return FilterSubject(
        values.get("name", "a.txt"),
        values.get("content_type", "text/plain"),
        int(values.get("size", "1")),
        {key.removeprefix("label."): value for key, value in values.items() if key.startswith("label.")},
        Owner.parse(values["owner"]).partition if "owner" in values else OWNER,
    )


EXAMPLES = re.findall(
    r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \|$", PAGE[PAGE.index("## Examples") :], re.MULTILINE
)


@pytest.mark.parametrize(("text", "passing", "other"), EXAMPLES, ids=[text for text, _, _ in EXAMPLES])
def test_every_example_of_the_page_says_what_happens(text: str, passing: str, other: str) -> None:
    assert passes(text, file_of(passing))
    assert not passes(text, file_of(other))


def test_the_page_shows_every_operator_of_every_field_and_its_first_example_can_be_read() -> None:
    for field, operators in OPERATORS.items():
        name = "label.<key>" if field == "label." else field
        (row,) = re.findall(rf"^\| `{name}` \| .* \| (.*) \|$", PAGE, re.MULTILINE)
        assert re.findall(r"`([^`]+)`", row) == list(operators)
    assert len(EXAMPLES) == PAGE[PAGE.index("## Examples") :].count("\n| `")
    first = re.findall(r"```\n(.*?)\n```", PAGE)[0]
    assert compile_filter(first).fields == {"content_type", "size", "name", "label.project", "label.draft"}


# Reading


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("NAME LIKE '*.png'", Like("name", (Wildcard.ANY, ".png"))),
        ('name != "a"', Not(OneOf("name", ("a",)))),
        ("name not in (\"a\", 'b')", Not(OneOf("name", ("a", "b")))),
        ('name NOT like "a"', Not(Like("name", ("a",)))),
        ("label.x not exists", Not(Exists("label.x"))),
        ("Label.My-Key_1.z exists", Exists("label.my-key_1.z")),
        ("label.not exists", Exists("label.not")),
        ("size=10", SizeIs(Comparison.EQUAL, 10)),
        ("size>10MB", SizeIs(Comparison.MORE, 10_000_000)),
        ("size <= 1.5 kib", SizeIs(Comparison.AT_MOST, 1536)),
        ("not not size = 0", Not(Not(SizeIs(Comparison.EQUAL, 0)))),
        ('content_type = "Image/*"', OneOf("content_type", ("image/*",))),
        (r'name = "a\"b\\c\*"', OneOf("name", ('a"b\\c*',))),
        (r'name like "a\*b?"', Like("name", ("a*b", Wildcard.ONE))),
        ('name = "a?"', OneOf("name", ("a?",))),
        ('name = "and or ("', OneOf("name", ("and or (",))),
        (
            "\tsize = 1\r\n  and\u00a0size = 2",
            And((SizeIs(Comparison.EQUAL, 1), SizeIs(Comparison.EQUAL, 2))),
        ),
    ],
)
def test_what_is_written_means(text: str, tree: Node) -> None:
    assert parse(text) == tree


def test_not_binds_before_and_and_and_before_or() -> None:
    a, b, c = (Exists(f"label.{key}") for key in "abc")
    assert parse("label.a exists or not label.b exists and label.c exists") == Or((a, And((Not(b), c))))
    assert parse("(label.a exists or not label.b exists) and label.c exists") == And((Or((a, Not(b))), c))
    assert parse("not (label.a exists and label.b exists)") == Not(And((a, b)))


@pytest.mark.parametrize(("unit", "unit_bytes"), UNIT_BYTES.items())
def test_every_unit_counts(unit: str, unit_bytes: int) -> None:
    assert parse(f"size = 3 {unit}") == SizeIs(Comparison.EQUAL, 3 * unit_bytes)


@pytest.mark.parametrize(
    ("text", "position", "hint"),
    [
        ("", 1, "left out"),
        ("  \n", 1, "left out"),
        ("content_type = image/png", 16, 'in quotes, such as "image/png"'),
        ('content_type = "png"', 16, '"image/*"'),
        ('content_type = "text/plain; charset=utf-8"', 16, "without parameters"),
        ("size > 10,000", 10, "expected 'and', 'or' or the end, not ','"),
        ("size > 10 mbb", 11, "a unit (B, KB, KiB"),
        ("size > 10 MB size < 3", 14, "expected 'and', 'or' or the end"),
        ('size > "10 MB"', 8, "such as 10 MB"),
        ("size > -1", 8, "no such character"),
        ("size = 0.5", 8, "whole number of bytes"),
        (f"size = {MAX_SIZE_BYTES + 1}", 8, "no file is that large"),
        ("size not > 3", 6, "expected '=', '!=', '<', '<=', '>' or '>='"),
        ("size exists", 6, "not 'exists'"),
        ('nam = "x"', 1, "did you mean 'name'"),
        ('colour = "x"', 1, "there are name, content_type"),
        ('labels.x = "a"', 1, "label.<key>"),
        ('label = "a"', 1, "label.<key>"),
        (f"label.{'k' * 64} exists", 1, "1 to 63"),
        ("label.x = true", 11, "in quotes"),
        ("label.x", 8, "'exists', not the end"),
        ('name == "x"', 6, "write '=', not '=='"),
        ('name <> "x"', 6, "write '!='"),
        ('name = "a" && size > 1', 12, "write 'and'"),
        ('name = "a" || size > 1', 12, "write 'or'"),
        ("!label.x exists", 1, "write 'not'"),
        ('name = "*.png"', 8, "needs 'like'"),
        ('name in ("a", "*b")', 15, "needs 'like'"),
        ('name not = "x"', 10, "'like' or 'in', not '='"),
        ('name < "x"', 6, "'=', '!=', 'like' or 'in'"),
        ("name like", 10, "a pattern in quotes"),
        ('name in "a"', 9, "a list in parentheses"),
        ("name in ()", 10, "in quotes"),
        ('name in ("a"', 13, "',' or ')'"),
        ('(name = "a"', 12, "for the '(' at character 1"),
        ('name = "a")', 11, "or the end, not ')'"),
        ('name = "a" and', 15, "expected a field"),
        ('"x" = name', 1, "expected a field"),
        ("name = “x”", 8, "straight quotes"),
        ('name = "a', 8, 'no " at its end'),
        ("name = 'a\"", 8, "no ' at its end"),
        (r'name = "C:\new"', 11, "write \\\\"),
        ('name = "a\\', 10, "write \\\\"),
        ('name = "a\x00"', 10, "control characters"),
        ('name = "\ud800"', 9, "control characters"),
        ('owner = "me"', 9, "<tenant id>/<object id>"),
        ('owner like "a*"', 7, "'=', '!=' or 'in'"),
        ("x" * (MAX_CHARACTERS + 1), MAX_CHARACTERS + 1, "at most 1000"),
        ("(" * (MAX_DEPTH + 1), MAX_DEPTH + 1, "at most 20 deep"),
        ("not " * MAX_DEPTH + "(size = 1)", 4 * MAX_DEPTH + 1, "at most 20 deep"),
    ],
)
def test_what_cannot_be_read_is_pointed_at(text: str, position: int, hint: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        compile_filter(text)
    assert caught.value.code == "invalid-filter"
    assert caught.value.extensions == {"position": position}
    assert caught.value.detail.startswith(f"The filter cannot be read at character {position}: ")
    assert hint in caught.value.detail


def test_the_limits_themselves_are_allowed() -> None:
    parse("(" * MAX_DEPTH + "size = 1" + ")" * MAX_DEPTH)
    parse(" and ".join(["(size = 1)"] * 40))  # side by side is not deep
    parse("size = 1" + " " * (MAX_CHARACTERS - 8))
    parse(f"size = {MAX_SIZE_BYTES}")


def test_a_filter_is_compiled_once_and_the_cache_is_bounded() -> None:
    assert compile_filter("size > 77") is compile_filter("size > 77")
    assert compile_filter.cache_info().maxsize == COMPILED_FILTERS


# Asking


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('name = "RÉSUMÉ.pdf"', unicodedata.normalize("NFD", "résumé.PDF")),
        (f'name like "{unicodedata.normalize("NFD", "é")}*"', "Éa"),
        ('name like "stra?e"', "Straße"),
        ('name = "ΣΊΣΥΦΟΣ"', "σίσυφος"),
        ('name like "*"', "anything"),
        ('name like "**a**"', "bab"),
        ('name like "a*a"', "aa"),
        ('name like "?*?"', "ab"),
        (r'name like "(a+)+\*"', "(a+)+*"),
        ('name like "a*b"', "a\nb"),
    ],
)
def test_names_fit_without_regard_to_case_and_spelling(text: str, name: str) -> None:
    assert passes(text, subject(name))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('name like "a*a"', "a"),
        ('name like "?*?"', "a"),
        ('name like ".pdf"', "a.pdf"),
        ('name like "a.c"', "abc"),
        ('name like ""', "a"),
        (r'name like "\*"', "a"),
        ('name like "ab*ba"', "aba"),
    ],
)
def test_a_pattern_fits_the_whole_name_or_not_at_all(text: str, name: str) -> None:
    assert not passes(text, subject(name))


def test_a_label_that_is_missing_equals_nothing_and_fits_nothing() -> None:
    for text in ('label.x = ""', 'label.x like "*"', 'label.x in ("", "a")', "label.x exists"):
        assert not passes(text, subject())
    assert passes('label.x != "a" and label.x not like "*"', subject())
    assert passes('label.x = "" and label.x like "*" and label.x exists', subject(labels={"x": ""}))


def test_labels_count_case_and_names_do_not() -> None:
    assert passes('label.x like "A*"', subject(labels={"x": "Ab"}))
    assert not passes('label.x like "a*"', subject(labels={"x": "Ab"}))


def test_a_content_type_is_compared_without_its_parameters_and_case() -> None:
    file = subject(content_type="Text/Plain ; charset=UTF-8")
    for text in ('= "text/plain"', '= "text/*"', '= "*/*"', 'like "TEXT/pl*"', 'in ("a/b", "text/*")'):
        assert passes(f"content_type {text}", file)
    assert not passes('content_type = "tex/*"', file)
    assert not passes('content_type = "text/plai"', file)


def test_an_owner_can_be_named_by_ids_or_partition() -> None:
    partition = Owner.parse("contoso/anna").partition
    assert passes('owner = "contoso/anna"', subject(owner=partition))
    assert passes(f'owner in ("x/y", "{partition}")', subject(owner=partition))
    assert passes('owner != "contoso/anna"', subject())


@pytest.mark.parametrize(
    "pattern",
    ["*a" * 100 + "*b", "*" * 900, "a*" * 100 + "b", "?*" * 250, "*a?" * 40 + "b", "*" + "a" * 120 + "b"],
)
def test_no_pattern_makes_matching_slow(pattern: str) -> None:
    compiled = compile_filter(f'name like "{pattern}"')
    file = subject("a" * 255)
    started = time.perf_counter()
    compiled.matches(file)
    assert time.perf_counter() - started < 0.1
