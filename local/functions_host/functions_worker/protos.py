"""Stand-ins for the messages of Microsoft's ``FunctionRpc.proto``, as ``azure-functions-runtime`` uses them.

The library takes the namespace of message classes from its host. It only constructs messages with keyword
arguments, reads attributes and calls ``WhichOneof``; so plain classes serve, and neither protobuf nor
generated code is needed. Unlike duck-typed stubs they are strict: an undeclared field is refused on
construction and on reading, and a field that was not given reads as its proto3 default. This module
itself is the namespace that the library is given.

Source: azure-functions-language-worker-protobuf, FunctionRpc.proto (field names), azure-functions-runtime
1.3 (use).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _none() -> None:
    return None


class _Message:
    """Base of all messages: keyword construction, declared fields only, proto3 defaults."""

    fields: ClassVar[Mapping[str, Callable[[], Any]]] = {}
    one_of: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self, **values: object) -> None:
        unknown = values.keys() - self.fields.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        self.given = {name: value for name, value in values.items() if value is not None}

    def __getattr__(self, name: str) -> Any:
        if name == "given" or name not in self.fields:
            raise AttributeError(f"{type(self).__name__} has no field {name}")
        if name in self.given:
            return self.given[name]
        value = self.fields[name]()
        if isinstance(value, dict | list):  # as in protobuf, a default container can be filled in place
            self.given[name] = value
        return value

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802 - protobuf's name
        """The field of the group that is set, if any."""
        return next((name for name in self.one_of[group] if name in self.given), None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.given)})"


def _message(
    name: str,
    *,
    text: str = "",
    number: str = "",
    flag: str = "",
    mapping: str = "",
    sequence: str = "",
    message: str = "",
    one_of: Mapping[str, tuple[str, ...]] | None = None,
) -> type[_Message]:
    """A message class; each argument is the space-separated field names of one type."""
    kinds: tuple[tuple[str, Callable[[], Any]], ...] = (
        (text, str),
        (number, int),
        (flag, bool),
        (mapping, dict),
        (sequence, list),
        (message, _none),
    )
    fields = {field: default for names, default in kinds for field in names.split()}
    return type(name, (_Message,), {"fields": fields, "one_of": one_of or {}, "__module__": __name__})


class StatusResult(_Message):
    """How a request to the worker ended."""

    Failure = 0
    Success = 1
    Cancelled = 2
    fields: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "status": int,
        "result": str,
        "exception": _none,
        "logs": list,
    }


class BindingInfo(_Message):
    """What a parameter of a function is bound to."""

    undefined = 0
    string = 1
    binary = 2
    stream = 3
    out = 1
    inout = 2
    fields: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "type": str,
        "direction": int,
        "data_type": int,
        "properties": dict,
    }


setattr(BindingInfo, "in", 0)  # a keyword of Python, yet the name of the enum's value


class _SameSite:
    Lax = 1
    Strict = 2
    ExplicitNone = 3


setattr(_SameSite, "None", 0)  # as above


class RpcHttpCookie(_Message):
    """A cookie of an HTTP response."""

    SameSite = _SameSite
    fields: ClassVar[Mapping[str, Callable[[], Any]]] = dict.fromkeys(
        ("domain", "path", "expires", "secure", "http_only", "max_age"), _none
    ) | {"name": str, "value": str, "same_site": int}


RpcException = _message(
    "RpcException", text="source stack_trace message", flag="is_user_exception", message="type"
)
WorkerMetadata = _message(
    "WorkerMetadata",
    text="runtime_name runtime_version worker_version worker_bitness",
    mapping="custom_properties",
)
WorkerInitResponse = _message(
    "WorkerInitResponse", text="worker_version", mapping="capabilities", message="result worker_metadata"
)
FunctionEnvironmentReloadResponse = _message(
    "FunctionEnvironmentReloadResponse", mapping="capabilities", message="result worker_metadata"
)
RpcRetryOptions = _message(
    "RpcRetryOptions",
    text="retry_strategy",
    number="max_retry_count",
    message="delay_interval minimum_interval maximum_interval",
)
RpcFunctionMetadata = _message(
    "RpcFunctionMetadata",
    text="name directory script_file entry_point function_id language",
    flag="is_proxy managed_dependency_enabled",
    mapping="bindings properties",
    sequence="raw_bindings",
    message="status retry_options",
)
FunctionMetadataResponse = _message(
    "FunctionMetadataResponse",
    flag="use_default_metadata_indexing",
    sequence="function_metadata_results",
    message="result",
)
FunctionLoadResponse = _message(
    "FunctionLoadResponse", text="function_id", flag="is_dependency_downloaded", message="result"
)
InvocationResponse = _message(
    "InvocationResponse", text="invocation_id", sequence="output_data", message="return_value result"
)
TypedData = _message(
    "TypedData",
    message=(
        "string json bytes stream http int double collection_bytes collection_string collection_double"
        " collection_sint64 model_binding_data collection_model_binding_data"
    ),
    one_of={
        "data": (
            "string",
            "json",
            "bytes",
            "stream",
            "http",
            "int",
            "double",
            "collection_bytes",
            "collection_string",
            "collection_double",
            "collection_sint64",
            "model_binding_data",
            "collection_model_binding_data",
        )
    },
)
CollectionBytes = _message("CollectionBytes", sequence="bytes")
CollectionString = _message("CollectionString", sequence="string")
CollectionSInt64 = _message("CollectionSInt64", sequence="sint64")
ModelBindingData = _message("ModelBindingData", text="version source content_type", message="content")
CollectionModelBindingData = _message("CollectionModelBindingData", sequence="model_binding_data")
ParameterBinding = _message("ParameterBinding", text="name", message="data", one_of={"rpc_data": ("data",)})
NullableString = _message("NullableString", text="value")
NullableBool = _message("NullableBool", flag="value")
NullableDouble = _message("NullableDouble", message="value")
NullableTimestamp = _message("NullableTimestamp", message="value")
Timestamp = _message("Timestamp", number="seconds nanos")
RpcTraceContext = _message("RpcTraceContext", text="trace_parent trace_state", mapping="attributes")
RetryContext = _message("RetryContext", number="retry_count max_retry_count", message="exception")
WorkerInitRequest = _message(
    "WorkerInitRequest",
    text="host_version worker_directory function_app_directory",
    mapping="capabilities log_categories",
)
FunctionsMetadataRequest = _message("FunctionsMetadataRequest", text="function_app_directory")
FunctionLoadRequest = _message("FunctionLoadRequest", text="function_id", message="metadata")
InvocationRequest = _message(
    "InvocationRequest",
    text="invocation_id function_id",
    sequence="input_data",
    mapping="trigger_metadata",
    message="trace_context retry_context",
)


class RpcHttp(_Message):
    """An HTTP request or response."""

    fields: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "method": str,
        "url": str,
        "headers": dict,
        "body": TypedData,  # an empty one, so that `body.WhichOneof` can be asked
        "params": dict,
        "status_code": str,
        "query": dict,
        "enable_content_negotiation": bool,
        "cookies": list,
    }
