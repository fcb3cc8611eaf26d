"""What ``function_app`` binds, read once: the library lets nobody ask twice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import function_app


@dataclass(frozen=True)
class BoundFunction:
    name: str
    methods: frozenset[str]
    path: str


@cache
def http_functions() -> tuple[BoundFunction, ...]:
    found = []
    for function in function_app.app.get_functions():
        trigger = function.get_trigger()
        assert trigger is not None
        declared = trigger.get_dict_repr()
        if declared["type"] == "httpTrigger":
            methods = frozenset(str(getattr(method, "value", method)) for method in declared["methods"])
            found.append(
                BoundFunction(str(function.get_function_name()), methods, f"/api/{declared['route']}")
            )
    return tuple(found)
