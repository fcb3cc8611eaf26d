"""Messages to the plain trees that frames carry, and back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from . import protos

_COLLECTIONS = {
    "collection_bytes": (protos.CollectionBytes, "bytes"),
    "collection_string": (protos.CollectionString, "string"),
    "collection_sint64": (protos.CollectionSInt64, "sint64"),
}


def to_tree(value: Any) -> Any:
    """A message, with all that is in it, as plain dicts and lists; a duration becomes seconds."""
    if isinstance(value, protos._Message):  # noqa: SLF001 - the base is private to the namespace, not to us
        return {name: to_tree(field) for name, field in value.given.items()}
    if isinstance(value, dict):
        return {str(key): to_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_tree(item) for item in value]
    if isinstance(value, timedelta):
        return value.total_seconds()
    if value is None or isinstance(value, str | bytes | bool | int | float):
        return value
    return str(value)


def typed_data(tree: dict[str, Any] | None) -> Any:
    """The ``TypedData`` of ``{kind: value}``; none or an empty tree gives one with nothing set."""
    if not tree:
        return protos.TypedData()
    ((kind, value),) = tree.items()
    if kind == "http":
        value = protos.RpcHttp(**{**value, "body": typed_data(value.get("body"))})
    elif kind == "model_binding_data":
        value = protos.ModelBindingData(**value)
    elif kind == "collection_model_binding_data":
        value = protos.CollectionModelBindingData(
            model_binding_data=[protos.ModelBindingData(**item) for item in value]
        )
    elif kind in _COLLECTIONS:
        message, field = _COLLECTIONS[kind]
        value = message(**{field: value})
    return protos.TypedData(**{kind: value})


def invocation(tree: dict[str, Any]) -> Any:
    """The ``InvocationRequest`` of the host's tree.

    ``inputs`` and ``trigger_metadata`` map names to typed data; ``retry`` is absent unless the function
    has a retry policy.
    """
    retry = dict(tree.get("retry") or {})
    if retry.get("exception"):
        retry["exception"] = protos.RpcException(**retry["exception"])
    return protos.InvocationRequest(
        invocation_id=tree["invocation_id"],
        function_id=tree["function_id"],
        input_data=[
            protos.ParameterBinding(name=name, data=typed_data(data)) for name, data in tree["inputs"].items()
        ],
        trigger_metadata={name: typed_data(data) for name, data in tree["trigger_metadata"].items()},
        trace_context=protos.RpcTraceContext(**tree.get("trace_context", {})),
        retry_context=protos.RetryContext(**retry),
    )
