"""The nine AMQP performatives, the SASL frames and the delivery states (OASIS AMQP 1.0, parts 2, 3 and 5).

Each is a dataclass whose fields stand in wire order and carry their AMQP type; ``encode_performative`` and
``decode_performative`` work from that.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from local.service_bus.decoding import decode
from local.service_bus.encoding import encode
from local.service_bus.errors import BrokerError, InvalidFieldError
from local.service_bus.values import Array, Described, Symbol, UByte, UInt, ULong, UShort

if TYPE_CHECKING:
    from collections.abc import Callable

ROLE_SENDER, ROLE_RECEIVER = False, True
SETTLE_MODE_SETTLED = 1
"""``snd-settle-mode``: the sender settles every delivery when it sends it."""
BATCH_MESSAGE_FORMAT = 0x80013700
"""``message-format`` of a Service Bus batch: every data section is one encoded message."""


class Performative(Protocol):
    """What a frame carries: a described list with a numeric descriptor."""

    CODE: ClassVar[int]
    WIRE: ClassVar[str]
    """The AMQP type of each field, in wire order. A field without a default is mandatory."""
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


@dataclass(slots=True, kw_only=True)
class Open:
    """Negotiates the connection."""

    CODE: ClassVar = 0x10
    WIRE: ClassVar = "string string uint ushort uint any any any any map"
    container_id: str
    hostname: str | None = None
    max_frame_size: int | None = None
    channel_max: int | None = None
    idle_time_out_ms: int | None = None
    outgoing_locales: object = None
    incoming_locales: object = None
    offered_capabilities: object = None
    desired_capabilities: object = None
    properties: dict[object, object] | None = None


@dataclass(slots=True, kw_only=True)
class Begin:
    """Begins a session on a channel."""

    CODE: ClassVar = 0x11
    WIRE: ClassVar = "ushort uint uint uint uint any any map"
    remote_channel: int | None = None
    next_outgoing_id: int
    incoming_window: int
    outgoing_window: int
    handle_max: int | None = None
    offered_capabilities: object = None
    desired_capabilities: object = None
    properties: dict[object, object] | None = None


@dataclass(slots=True, kw_only=True)
class Attach:
    """Attaches a link to a session."""

    CODE: ClassVar = 0x12
    WIRE: ClassVar = "string uint boolean ubyte ubyte described described any boolean uint ulong any any map"
    name: str
    handle: int
    role: bool
    snd_settle_mode: int | None = None
    rcv_settle_mode: int | None = None
    source: Described | None = None
    target: Described | None = None
    unsettled: object = None
    incomplete_unsettled: bool | None = None
    initial_delivery_count: int | None = None
    max_message_size: int | None = None
    offered_capabilities: object = None
    desired_capabilities: object = None
    properties: dict[object, object] | None = None


@dataclass(slots=True, kw_only=True)
class Flow:
    """Updates the windows of a session and, if ``handle`` is set, the credit of a link."""

    CODE: ClassVar = 0x13
    WIRE: ClassVar = "uint uint uint uint uint uint uint uint boolean boolean map"
    next_incoming_id: int | None = None
    incoming_window: int
    next_outgoing_id: int
    outgoing_window: int
    handle: int | None = None
    delivery_count: int | None = None
    link_credit: int | None = None
    available: int | None = None
    drain: bool | None = None
    echo: bool | None = None
    properties: dict[object, object] | None = None


@dataclass(slots=True, kw_only=True)
class Transfer:
    """Carries a message, or a part of one; the payload follows it in the frame."""

    CODE: ClassVar = 0x14
    WIRE: ClassVar = "uint uint binary uint boolean boolean ubyte described boolean boolean boolean"
    handle: int
    delivery_id: int | None = None
    delivery_tag: bytes | None = None
    message_format: int | None = None
    settled: bool | None = None
    more: bool | None = None
    rcv_settle_mode: int | None = None
    state: Described | None = None
    resume: bool | None = None
    aborted: bool | None = None
    batchable: bool | None = None


@dataclass(slots=True, kw_only=True)
class Disposition:
    """Tells the state of the deliveries ``first`` to ``last``."""

    CODE: ClassVar = 0x15
    WIRE: ClassVar = "boolean uint uint boolean described boolean"
    role: bool
    first: int
    last: int | None = None
    settled: bool | None = None
    state: Described | None = None
    batchable: bool | None = None


@dataclass(slots=True, kw_only=True)
class Detach:
    """Detaches a link; for good if ``closed``."""

    CODE: ClassVar = 0x16
    WIRE: ClassVar = "uint boolean described"
    handle: int
    closed: bool | None = None
    error: Described | None = None


@dataclass(slots=True, kw_only=True)
class End:
    """Ends a session."""

    CODE: ClassVar = 0x17
    WIRE: ClassVar = "described"
    error: Described | None = None


@dataclass(slots=True, kw_only=True)
class Close:
    """Closes the connection."""

    CODE: ClassVar = 0x18
    WIRE: ClassVar = "described"
    error: Described | None = None


@dataclass(slots=True, kw_only=True)
class SaslMechanisms:
    """The SASL mechanisms a server offers."""

    CODE: ClassVar = 0x40
    WIRE: ClassVar = "any"
    mechanisms: Array


@dataclass(slots=True, kw_only=True)
class SaslInit:
    """The mechanism a client picks."""

    CODE: ClassVar = 0x41
    WIRE: ClassVar = "symbol binary string"
    mechanism: str
    initial_response: bytes | None = None
    hostname: str | None = None


@dataclass(slots=True, kw_only=True)
class SaslOutcome:
    """How authentication ended: 0 is success, 1 a refusal."""

    CODE: ClassVar = 0x44
    WIRE: ClassVar = "ubyte"
    code: int


def _as_is(value: object) -> object:
    return value


# For each AMQP type how to make one, and what is taken for one: any unsigned integer will do for another.
_WIRE_TYPES: dict[str, tuple[Callable[[Any], object], type]] = {
    "any": (_as_is, object),
    "binary": (bytes, bytes),
    "boolean": (bool, bool),
    "described": (_as_is, Described),
    "map": (_as_is, dict),
    "string": (str, str),
    "symbol": (Symbol, str),
    "ubyte": (UByte, int),
    "uint": (UInt, int),
    "ulong": (ULong, int),
    "ushort": (UShort, int),
}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    make: Callable[[Any], object]
    accepts: type
    mandatory: bool


def _layout(kind: type[Performative]) -> list[_Field]:
    return [
        _Field(field.name, *_WIRE_TYPES[wire], field.default is dataclasses.MISSING)
        for field, wire in zip(dataclasses.fields(kind), kind.WIRE.split(), strict=True)
    ]


_BY_CODE: dict[int, type[Performative]] = {
    kind.CODE: kind
    for kind in (Open, Begin, Attach, Flow, Transfer, Disposition, Detach, End, Close, SaslInit)
}
_LAYOUTS = {kind: _layout(kind) for kind in (*_BY_CODE.values(), SaslMechanisms, SaslOutcome)}


def encode_performative(performative: Performative) -> bytes:
    """The described list of ``performative``, without the null fields at its end."""
    values = []
    for field in _LAYOUTS[type(performative)]:
        value = getattr(performative, field.name)
        values.append(None if value is None else field.make(value))
    while values and values[-1] is None:
        values.pop()
    return b"\x00\x53" + bytes((performative.CODE,)) + encode(values)


def decode_performative(data: bytes) -> tuple[Performative, int]:
    """The performative at the start of ``data``, and the offset of the payload after it.

    Raises:
        DecodeError: the bytes are not AMQP data.
        InvalidFieldError: they are no performative, or one of its fields is missing or of the wrong type.
    """
    described, end = decode(data)
    if not isinstance(described, Described) or not isinstance(described.value, list):
        raise InvalidFieldError("The frame does not carry a performative.")
    kind = _BY_CODE.get(described.descriptor) if isinstance(described.descriptor, ULong) else None
    if kind is None:
        raise InvalidFieldError(f"{described.descriptor!r} is not the descriptor of a performative.")
    values = described.value
    layout = _LAYOUTS[kind]
    if len(values) > len(layout):
        raise InvalidFieldError(f"{kind.__name__} has more fields than AMQP 1.0 gives it.")
    fields: dict[str, object] = {}
    for position, field in enumerate(layout):
        value = values[position] if position < len(values) else None
        if value is not None and not _fits(value, field.accepts):
            raise InvalidFieldError(f"Field {field.name} of {kind.__name__} is of the wrong type.")
        if value is None and field.mandatory:
            raise InvalidFieldError(f"Field {field.name} of {kind.__name__} is missing.")
        fields[field.name] = value
    return kind(**fields), end


def _fits(value: object, accepts: type) -> bool:
    if accepts is int:  # every integer field is unsigned
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, accepts)


# Delivery states and errors (part 3, section 3.4; part 2, section 2.8.14)

RECEIVED, ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x23, 0x24, 0x25, 0x26, 0x27
_ERROR = 0x1D
_SOURCE, _TARGET = 0x28, 0x29


def accepted() -> Described:
    """The delivery state ``accepted``."""
    return Described(ULong(ACCEPTED), [])


def rejected(error: BrokerError | None = None) -> Described:
    """The delivery state ``rejected``, with why."""
    return Described(ULong(REJECTED), [] if error is None else [error_value(error)])


def error_value(error: BrokerError) -> Described:
    """An AMQP error. All three fields are there: the Python SDK indexes each of them."""
    return Described(ULong(_ERROR), [Symbol(error.condition), error.description, {}])


def list_item(described: object, index: int) -> object:
    """Field ``index`` of a described list; ``None`` where the peer left it out."""
    value = described.value if isinstance(described, Described) else None
    return value[index] if isinstance(value, list) and index < len(value) else None
