"""The configuration file, of the shape that Microsoft's Service Bus emulator takes.

https://learn.microsoft.com/azure/service-bus-messaging/test-locally-with-service-bus-emulator. What the
broker cannot do is refused by name: a setting that is silently ignored would behave differently in Azure.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from local.service_bus.message import MAX_MILLISECONDS
from local.service_bus.queue_settings import QueueSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_LOCK_DURATION_MS = 5 * 60_000
"""Service Bus takes no longer lock."""
MAX_DUPLICATE_WINDOW_MS = 7 * 24 * 3_600_000
"""Service Bus remembers message ids no longer."""
MAX_DELIVERY_COUNT = 2_000

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/~-]*[A-Za-z0-9])?")
_DURATION = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_UNIT_MS = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1_000}


class ConfigError(Exception):
    """The configuration cannot be used; the message is one sentence that says where and why."""


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """A topic and its subscriptions. ``queue`` says how it takes messages in."""

    queue: QueueSettings
    subscriptions: tuple[QueueSettings, ...]


@dataclass(frozen=True, slots=True)
class Namespace:
    """What the broker serves."""

    name: str
    queues: tuple[QueueSettings, ...]
    topics: tuple[TopicSettings, ...] = ()


def load_namespace(path: Path) -> Namespace:
    """Read a configuration file.

    Raises:
        ConfigError: the file cannot be read, is not JSON, or asks for what the broker cannot do.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"The configuration file {path} is not JSON: {error}.") from error
    return parse_namespace(document)


def parse_namespace(document: object) -> Namespace:
    """Understand the content of a configuration file.

    Raises:
        ConfigError: it is malformed, or asks for what the broker cannot do.
    """
    root = _Section("The configuration", document)
    _check_logging(root.section("Logging"))
    user = root.section("UserConfig", mandatory=True)
    _check_logging(user.section("Logging"))
    namespaces = list(user.sections("Namespaces"))
    user.check_nothing_left()
    root.check_nothing_left()
    if len(namespaces) != 1:
        raise ConfigError(f"UserConfig.Namespaces names {len(namespaces)} namespaces; the broker serves one.")
    return _read_namespace(namespaces[0])


def _check_logging(section: _Section) -> None:
    """The broker logs to standard output whatever this says, so only its form is checked."""
    section.text("Type", "")
    section.check_nothing_left()


def _read_namespace(section: _Section) -> Namespace:
    name = section.name()
    queues = tuple(_read_queue(queue) for queue in section.sections("Queues"))
    topics = tuple(_read_topic(topic) for topic in section.sections("Topics"))
    section.check_nothing_left()
    _check_distinct([queue.name for queue in queues] + [topic.queue.name for topic in topics], "entity")
    return Namespace(name, queues, topics)


def _read_queue(section: _Section) -> QueueSettings:
    settings = QueueSettings(section.name())
    properties = section.section("Properties")
    settings = _read_duplicate_detection(properties, _read_receiving(properties, settings))
    properties.check_nothing_left()
    section.check_nothing_left()
    return settings


def _read_topic(section: _Section) -> TopicSettings:
    name = section.name()
    properties = section.section("Properties")
    settings = QueueSettings(name, default_time_to_live_ms=properties.time_to_live_ms())
    settings = _read_duplicate_detection(properties, settings)
    properties.check_nothing_left()
    subscriptions = [_read_subscription(name, part) for part in section.sections("Subscriptions")]
    section.check_nothing_left()
    _check_distinct([subscription.name for subscription in subscriptions], "subscription")
    return TopicSettings(settings, tuple(subscriptions))


def _read_subscription(topic_name: str, section: _Section) -> QueueSettings:
    settings = QueueSettings(f"{topic_name}/Subscriptions/{section.name()}")
    properties = section.section("Properties")
    settings = _read_receiving(properties, settings)
    properties.check_nothing_left()
    if any(section.sections("Rules")):
        raise ConfigError(f"{section.where} has Rules; the broker gives every message to every subscription.")
    section.check_nothing_left()
    return settings


def _read_receiving(properties: _Section, settings: QueueSettings) -> QueueSettings:
    for name in ("ForwardTo", "ForwardDeadLetteredMessagesTo"):
        if properties.text(name, ""):
            raise ConfigError(f"{properties.where}.{name} is set; the broker does not forward messages.")
    return replace(
        settings,
        lock_duration_ms=properties.duration_ms(
            "LockDuration", settings.lock_duration_ms, MAX_LOCK_DURATION_MS
        ),
        max_delivery_count=properties.integer("MaxDeliveryCount", 10, MAX_DELIVERY_COUNT),
        default_time_to_live_ms=properties.time_to_live_ms(),
        dead_letter_on_expiration=properties.boolean("DeadLetteringOnMessageExpiration", default=False),
        requires_session=properties.boolean("RequiresSession", default=False),
    )


def _read_duplicate_detection(properties: _Section, settings: QueueSettings) -> QueueSettings:
    window_ms = properties.duration_ms(
        "DuplicateDetectionHistoryTimeWindow", 10 * 60_000, MAX_DUPLICATE_WINDOW_MS
    )
    detects = properties.boolean("RequiresDuplicateDetection", default=False)
    return replace(settings, duplicate_window_ms=window_ms if detects else None)


def _check_distinct(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise ConfigError(f"There are two of the {what} '{name}'; names do not differ by case.")
        seen.add(name.lower())


def parse_duration_ms(text: str) -> int | None:
    """Milliseconds of an ISO 8601 duration in days, hours, minutes and seconds; ``None`` if it is not one."""
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()) or text.endswith("T"):
        return None
    return round(sum(float(number) * _UNIT_MS[unit] for unit, number in match.groupdict(default="0").items()))


class _Section:
    """A JSON object that is read name by name, so that names nobody reads are found."""

    def __init__(self, where: str, value: object) -> None:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} is not a JSON object.")
        self.where = where
        self._values: dict[str, Any] = dict(value)

    def _path(self, name: str) -> str:
        return name if self.where == "The configuration" else f"{self.where}.{name}"

    def _take[T](self, name: str, default: T, kind: type[T], what: str) -> T:
        value = self._values.pop(name, default)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigError(f"{self._path(name)} is not {what}.")
        return value

    def section(self, name: str, *, mandatory: bool = False) -> _Section:
        if mandatory and name not in self._values:
            raise ConfigError(f"{self.where} has no {name}.")
        return _Section(self._path(name), self._take(name, {}, dict, "a JSON object"))

    def sections(self, name: str) -> Iterable[_Section]:
        for index, value in enumerate(self._take(name, [], list, "a list")):
            yield _Section(f"{self._path(name)}[{index}]", value)

    def text(self, name: str, default: str) -> str:
        return self._take(name, default, str, "a string")

    def boolean(self, name: str, *, default: bool) -> bool:
        return self._take(name, default, bool, "true or false")

    def integer(self, name: str, default: int, maximum: int) -> int:
        value = self._take(name, default, int, "a whole number")
        if not 1 <= value <= maximum:
            raise ConfigError(f"{self._path(name)} is {value}; it must be from 1 to {maximum}.")
        return value

    def duration_ms(self, name: str, default_ms: int, maximum_ms: int) -> int:
        text = self.text(name, "")
        duration_ms = parse_duration_ms(text) if text else default_ms
        if duration_ms is None:
            raise ConfigError(
                f"{self._path(name)} '{text}' is not an ISO 8601 duration such as PT1M or P14D."
            )
        if not 1 <= duration_ms <= maximum_ms:
            limit = maximum_ms // 1_000
            raise ConfigError(f"{self._path(name)} '{text}' must be more than 0 and at most {limit} seconds.")
        return duration_ms

    def time_to_live_ms(self) -> int | None:
        """``DefaultMessageTimeToLive``; without it messages do not expire."""
        name = "DefaultMessageTimeToLive"
        if not self._values.get(name):
            self._values.pop(name, None)
            return None
        return self.duration_ms(name, 1, MAX_MILLISECONDS)

    def name(self) -> str:
        name = self.text("Name", "")
        if not _NAME.fullmatch(name) or len(name) > 260:
            raise ConfigError(
                f"{self.where}.Name '{name}' is not a name: letters, digits and ._/~- with a letter or digit "
                "at both ends, at most 260 characters."
            )
        return name

    def check_nothing_left(self) -> None:
        for name in self._values:
            raise ConfigError(f"{self._path(name)} is not a setting that the broker knows.")
