"""The error catalogue holds every code that the source can raise, and no other."""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from shared import errors
from shared.errors import ProblemError
from shared.web.problem_catalogue import PROBLEMS, Problem, by_status

ROOT = Path(__file__).parent.parent.parent.parent
DEFINING = ROOT / "shared/web/problem_catalogue.py"


@dataclass(frozen=True)
class Use:
    """A code in the source."""

    code: str
    where: str
    raised_as: str | None
    """The error class, where the code stands in its constructor."""


def value_of(node: ast.expr, module: str) -> set[str]:
    """The codes that an expression can be: literals, or a constant of the module."""
    if isinstance(node, ast.Name):
        value = getattr(importlib.import_module(module), node.id, None)
        return {value} if isinstance(value, str) else set()
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and each.value}  # type: ignore[misc]  # codes are strings


def defaults(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    """What a parameter called ``code`` is when it is left out."""
    arguments = function.args
    pairs = [
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        *zip(reversed(arguments.args), reversed(arguments.defaults), strict=False),
    ]
    return [default for argument, default in pairs if argument.arg == "code" and default is not None]


def default_codes(targets: list[ast.expr], value: ast.expr) -> list[ast.expr]:
    """What is assigned to ``default_code``, by itself or as one of several names."""
    found = []
    for target in targets:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
        else:
            pairs = [(target, value)]
        found += [each for name, each in pairs if getattr(name, "id", None) == "default_code"]
    return found


@cache
def uses() -> list[Use]:
    found: list[Use] = []
    for path in sorted((ROOT / "shared").rglob("*.py")):
        if path == DEFINING:
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            values: list[ast.expr] = []
            name = None
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", None))
                values = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                values = defaults(node)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                values = default_codes(
                    node.targets if isinstance(node, ast.Assign) else [node.target], node.value
                )
            found += [Use(code, where, name) for value in values for code in value_of(value, module)]
    return found


def classes(root: type[ProblemError] = ProblemError) -> list[type[ProblemError]]:
    return [each for sub in root.__subclasses__() for each in (sub, *classes(sub))]


def test_every_code_in_the_source_is_in_the_catalogue() -> None:
    missing = {f"{use.code} ({use.where})" for use in uses() if use.code not in PROBLEMS}
    missing |= {each.default_code for each in classes()} - PROBLEMS.keys()
    assert not missing


def test_every_code_of_the_catalogue_is_in_the_source() -> None:
    assert PROBLEMS.keys() <= {use.code for use in uses()} | {each.default_code for each in classes()}


def test_a_code_is_raised_with_the_status_that_the_catalogue_tells() -> None:
    for use in uses():
        raised = getattr(errors, use.raised_as or "", None)
        if isinstance(raised, type) and issubclass(raised, ProblemError) and use.code in PROBLEMS:
            assert raised.status in PROBLEMS[use.code].statuses, use
    for each in classes():
        assert each.status in PROBLEMS[each.default_code].statuses, each


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())
def test_each_is_explained_in_whole_sentences(problem: Problem) -> None:
    for text in (problem.meaning, problem.remedy):
        assert text[0].isupper() or text.startswith("detail")
        assert text.endswith(".")
    assert problem.types[0] == f"/api/problems/{problem.code}"


def test_problems_are_grouped_by_status() -> None:
    grouped = by_status(["not-found", "claims-missing", "token-missing"])
    assert {status: [each.code for each in found] for status, found in grouped.items()} == {
        401: ["claims-missing", "token-missing"],
        403: ["claims-missing"],
        404: ["not-found"],
    }


def test_a_code_that_is_not_in_the_catalogue_is_no_problem() -> None:
    with pytest.raises(KeyError):
        by_status(["surprise"])
