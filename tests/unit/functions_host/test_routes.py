from __future__ import annotations

import pytest

from local.functions_host.routes import RouteError, Router, parse_template


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("", "", {}),
        ("a/b", "a/b", {}),
        ("a/b", "A/B/", {}),
        ("a/b", "a", None),
        ("a/b", "a/b/c", None),
        ("{id}", "x%20y", {"id": "x y"}),
        ("{id}", "a%2Fb", {"id": "a%2Fb"}),
        ("{id}", "x%0Ay", {"id": "x\ny"}),
        ("v{id}", "vx%0Ay", {"id": "x\ny"}),
        ("{id}", "", None),
        ("{id:int}", "-12", {"id": "-12"}),
        ("{id:int}", "2147483648", None),
        ("{id:long}", "2147483648", {"id": "2147483648"}),
        ("{id:int}", "x", None),
        ("{id:guid}", "0f8fad5b-d9cb-469f-a165-70867728950e", {"id": "0f8fad5b-d9cb-469f-a165-70867728950e"}),
        ("{id:guid}", "0f8fad5b", None),
        ("{flag:bool}", "True", {"flag": "True"}),
        ("{name:alpha}", "a1", None),
        ("{name:length(2)}", "ab", {"name": "ab"}),
        ("{name:length(2)}", "abc", None),
        ("{name:length(2,4)}", "abc", {"name": "abc"}),
        ("{name:minlength(3)}", "ab", None),
        ("{name:maxlength(3)}", "abcd", None),
        ("{n:min(3)}", "2", None),
        ("{n:max(3)}", "3", {"n": "3"}),
        ("{n:range(1,9)}", "10", None),
        ("{n:int:min(5)}", "4", None),
        (r"{code:regex(^\d{{3}}$)}", "123", {"code": "123"}),
        (r"{code:regex(^\d{{3}}$)}", "1234", None),
        ("{id?}", "", {}),
        ("a/{id:int?}", "a", {}),
        ("a/{id:int?}", "a/7", {"id": "7"}),
        ("a/{id:int?}", "a/x", None),
        ("a/{id=5}", "a", {"id": "5"}),
        ("a/{*rest}", "a", {}),
        ("a/{*rest}", "a/b/c%20d", {"rest": "b/c d"}),
        ("a/{**rest}", "a/b/c", {"rest": "b/c"}),
        ("{*rest}", "", {}),
        ("{name}.{extension}", "a.b.txt", {"name": "a.b", "extension": "txt"}),
        ("v{version:int}", "v2", {"version": "2"}),
        ("v{version:int}", "vx", None),
        ("{{literal}}", "{literal}", {}),
    ],
)
def test_match(template: str, path: str, values: dict[str, str] | None) -> None:
    assert parse_template(template).match(path) == values


@pytest.mark.parametrize(
    "template",
    [
        "/a",
        "~/a",
        "a//b",
        "{a",
        "a}",
        "{}",
        "{a}/{A}",
        "{a}{b}",
        "{*a}/b",
        "{a?}/b",
        "x{a?}",
        "{a:nonsense}",
        "{a:int(3)}",
        "{a:length(x)}",
        "{a:regex([)}",
    ],
)
def test_bad_template_is_refused_with_a_sentence(template: str) -> None:
    with pytest.raises(RouteError, match=r"route '.*"):
        parse_template(template)


@pytest.mark.parametrize(
    ("path", "target"),
    [("a/me", "literal"), ("a/7", "constrained"), ("a/x", "parameter"), ("a/x/y", "catch-all"), ("b", None)],
)
def test_more_specific_template_wins_whatever_the_order(path: str, target: str | None) -> None:
    router: Router[str] = Router()
    for template, name in [
        ("a/{*rest}", "catch-all"),
        ("a/{id}", "parameter"),
        ("a/{id:int}", "constrained"),
        ("a/me", "literal"),
    ]:
        router.add(template, [], name)
    found = router.find("GET", path)
    assert (found[0] if found else None) == target


def test_method_decides_between_functions_of_one_route() -> None:
    router: Router[str] = Router()
    router.add("a", ["get"], "read")
    router.add("a", ["POST"], "write")
    assert router.find("POST", "a") == ("write", {})
    assert router.find("DELETE", "a") is None


def test_a_catch_all_takes_only_its_method_from_more_specific_templates() -> None:
    router: Router[str] = Router()
    router.add("api/{*path}", ["OPTIONS"], "options")
    router.add("api/v1/files/{id}", ["GET"], "read")
    assert router.find("GET", "api/v1/files/7") == ("read", {"id": "7"})
    assert router.find("OPTIONS", "api/v1/files/7") == ("options", {"path": "v1/files/7"})
    assert router.find("GET", "api/v1/other") is None
