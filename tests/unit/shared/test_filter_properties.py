"""Properties of filters: reading what was written, any text at all, and a naive evaluation beside ours."""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequestError
from shared.identity.owner import Owner
from shared.notifications.filter import FilterSubject, compile_filter
from shared.notifications.filter_glob import Glob, Wildcard, caseless
from shared.notifications.filter_parser import MAX_SIZE_BYTES, owner_partition, parse
from shared.notifications.filter_tokens import MAX_CHARACTERS
from shared.notifications.filter_tree import (
    UNIT_BYTES,
    And,
    Comparison,
    Exists,
    Like,
    Node,
    Not,
    OneOf,
    Or,
    SizeIs,
    to_text,
)

OWNER = "0123456789abcdef0123456789abcdef"
FILE = FilterSubject("a.txt", "text/plain", 1, {}, OWNER)


PRINTABLE = st.characters(exclude_categories=["Cc", "Cs"])
texts = st.text(PRINTABLE, max_size=6) | st.sampled_from(["a", "A.png", "é", "e\u0301", 'q"\\*?', "ß", "İ"])
label_fields = st.sampled_from(["label.a", "label.b-c", "label.not"])
media_ranges = st.sampled_from(["image/png", "image/*", "*/*", "text/plain", "application/ld+json"])
owners = st.sampled_from([OWNER, "contoso/anna"])


def joined(pieces: list[str | Wildcard]) -> Glob:
    glob: list[str | Wildcard] = []
    for piece in pieces:
        if isinstance(piece, str) and glob and isinstance(glob[-1], str):
            glob[-1] += piece
        elif piece != "":
            glob.append(piece)
    return tuple(glob)


globs = st.lists(texts | st.sampled_from(Wildcard), max_size=5).map(joined)


def one_of(field: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[Node]:
    return st.builds(OneOf, field, st.lists(values, min_size=1, max_size=3).map(tuple))


conditions: st.SearchStrategy[Node] = st.one_of(
    one_of(st.just("name") | label_fields, texts),
    one_of(st.just("content_type"), media_ranges),
    one_of(st.just("owner"), owners),
    st.builds(Like, st.sampled_from(["name", "content_type", "label.a"]), globs),
    st.builds(SizeIs, st.sampled_from(Comparison), st.integers(0, 3) | st.integers(0, MAX_SIZE_BYTES)),
    st.builds(SizeIs, st.sampled_from(Comparison), st.sampled_from(list(UNIT_BYTES.values()))),
    st.builds(Exists, label_fields),
)
trees: st.SearchStrategy[Node] = st.recursive(
    conditions,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple))
        | st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=8,
).filter(lambda tree: len(to_text(tree)) <= MAX_CHARACTERS)
subjects = st.builds(
    FilterSubject,
    texts.map(lambda text: unicodedata.normalize("NFC", text)),
    st.sampled_from(["image/png", "IMAGE/PNG; q=1", "text/plain", "application/ld+json"]),
    st.integers(0, 5) | st.sampled_from(list(UNIT_BYTES.values())),
    st.dictionaries(st.sampled_from(["a", "b-c", "not"]), texts, max_size=3),
    st.sampled_from([OWNER, Owner.parse("contoso/anna").partition]),
)


@given(tree=trees)
def test_a_tree_written_out_reads_as_the_same_tree(tree: Node) -> None:
    assert parse(to_text(tree)) == tree


@given(text=st.text(max_size=60))
def test_no_text_raises_anything_but_the_one_error(text: str) -> None:
    try:
        compile_filter(text).matches(FILE)
    except InvalidRequestError as error:
        assert error.code == "invalid-filter"  # noqa: PT017 - some of the texts are filters


LANGUAGE = """name size label.x content_type owner and or not in like exists ( ) = != < >= , "a" "*.png"
    "image/*" ' " \\ 10 1.5 MB label. “ contoso/anna"""


@given(words=st.lists(st.sampled_from(LANGUAGE.split()), max_size=12), glue=st.sampled_from([" ", ""]))
def test_no_heap_of_its_own_words_raises_anything_but_the_one_error(words: list[str], glue: str) -> None:
    text = glue.join(words)
    try:
        compile_filter(text).matches(FILE)
    except InvalidRequestError as error:
        position = error.extensions["position"]
        assert isinstance(position, int)
        assert 1 <= position <= len(text) + 1


def naively_fits(glob: Glob, text: str, fold: bool) -> bool:
    """By trying every way in which a pattern can fit."""
    pieces: list[str | Wildcard] = []
    for piece in glob:
        if isinstance(piece, Wildcard):
            pieces.append(piece)
        else:
            pieces.extend(caseless(piece) if fold else unicodedata.normalize("NFC", piece))

    def fits(pattern: int, at: int) -> bool:
        if pattern == len(pieces):
            return at == len(text)
        if pieces[pattern] is Wildcard.ANY:
            return any(fits(pattern + 1, later) for later in range(at, len(text) + 1))
        same = at < len(text) and pieces[pattern] in {Wildcard.ONE, text[at]}
        return same and fits(pattern + 1, at + 1)

    return fits(0, 0)


def value_of(field: str, file: FilterSubject) -> str | None:
    match field:
        case "name":
            return caseless(file.name)
        case "content_type":
            return re.split(" *;", file.content_type.lower())[0]
        case "owner":
            return file.owner
        case _:
            value = file.labels.get(field.split(".", 1)[1])
            return None if value is None else unicodedata.normalize("NFC", value)


def naively_equals(field: str, text: str, value: str) -> bool:
    match field:
        case "name":
            return caseless(text) == value
        case "content_type":
            return fnmatch.fnmatchcase(value, text)
        case "owner":
            return owner_partition(text) == value
        case _:
            return unicodedata.normalize("NFC", text) == value


def naively(node: Node, file: FilterSubject) -> bool:
    match node:
        case Not(inner):
            return not naively(inner, file)
        case And(nodes):
            return min(naively(each, file) for each in nodes)
        case Or(nodes):
            return max(naively(each, file) for each in nodes)
        case SizeIs(comparison, size_bytes):
            sign = (file.size_bytes > size_bytes) - (file.size_bytes < size_bytes)
            return sign in {"=": (0,), "<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1)}[comparison]
        case Exists(field):
            return value_of(field, file) is not None
        case Like(field, glob):
            value = value_of(field, file)
            return value is not None and naively_fits(glob, value, not field.startswith("label."))
        case OneOf(field, wanted):
            value = value_of(field, file)
            return value is not None and any(naively_equals(field, text, value) for text in wanted)


@given(tree=trees, file=subjects)
def test_a_filter_agrees_with_a_naive_evaluation(tree: Node, file: FilterSubject) -> None:
    assert compile_filter(to_text(tree)).matches(file) is naively(tree, file)


ab = st.text("ab", max_size=8)
ab_globs = st.lists(st.sampled_from(["a", "b"]) | st.sampled_from(Wildcard), max_size=8).map(joined)


@given(glob=ab_globs, text=ab)
def test_patterns_agree_with_a_naive_evaluation_where_much_nearly_fits(glob: Glob, text: str) -> None:
    tree = Like("name", glob)
    assert compile_filter(to_text(tree)).matches(replace(FILE, name=text)) is naively_fits(
        glob, text, fold=True
    )


@given(text=st.text(max_size=10))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert caseless(caseless(text)) == caseless(text)
    assert caseless(unicodedata.normalize("NFD", text)) == caseless(text)
