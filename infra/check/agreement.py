"""What several files say is the same in all: queue, container, table and function names, versions, routes."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any, Final

from infra.check.bicep import Kind, literal, member, members, parse, text, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from infra.check.bicep import BicepFile

QUEUE_SETTINGS: Final[Mapping[str, str]] = {
    "name": "queue.Name",
    "lockDuration": "queue.Properties.LockDuration",
    "maxDeliveryCount": "queue.Properties.MaxDeliveryCount",
    "requiresDuplicateDetection": "queue.Properties.RequiresDuplicateDetection",
    "duplicateDetectionHistoryTimeWindow": "queue.Properties.DuplicateDetectionHistoryTimeWindow",
    "defaultMessageTimeToLive": "queue.Properties.DefaultMessageTimeToLive",
    "deadLetteringOnMessageExpiration": "queue.Properties.DeadLetteringOnMessageExpiration",
    "requiresSession": "queue.Properties.RequiresSession",
}
"""What the verified module calls a setting, and where service-bus.bicep has it from."""
NOT_IN_AZURE: Final = {"ForwardTo", "ForwardDeadLetteredMessagesTo"}
"""Settings of the local broker's file that have to be empty, so that Azure does not need them."""
MALWARE: Final = "malwareScanning"
OF_THE_GATE: Final = frozenset({"tagReader", "appVerdicts"})
"""What roles.bicep has for the gate for malware alone."""
CONFIG: Final = "local/service_bus.config.json"


def check_agreement(root: Path) -> Sequence[str]:
    """Findings about files that contradict each other."""
    return [*_queue(root), *_names(root), *_host(root), *_runtime(root), *_malware(root)]


def _queue(root: Path) -> Iterator[str]:
    file = parse(root / "infra" / "modules" / "service-bus.bicep")
    source = file.of_kind(Kind.VARIABLE)["queues"].value
    wanted = f"loadJsonContent('../../{CONFIG}').UserConfig.Namespaces[0].Queues"
    if source is None or text(source) != wanted:
        yield f"{file.name}: the queues are not read from {CONFIG}"
    (made,) = [node for node in walk(file.root) if node.type == "for_statement"]
    settings = {name: text(value) for name, value in members(made.named_children[-1]).items()}
    for name, place in QUEUE_SETTINGS.items():
        if settings.get(name) != place:
            yield f"{file.name}: {name} is {settings.get(name)}, not {place}"
    for queue in _queues(root):
        handed = {place.rpartition(".")[2] for place in QUEUE_SETTINGS.values()}
        for name, value in queue["Properties"].items():
            if name not in handed | NOT_IN_AZURE or (name in NOT_IN_AZURE and value):
                yield f"{CONFIG}: {name} of {queue['Name']} does not come to Azure"


def _names(root: Path) -> Iterator[str]:
    main, events = parse(root / "infra" / "main.bicep"), parse(root / "infra" / "events.bicep")
    example = json.loads((root / "local.settings.json.example").read_text())["Values"]
    stack = _constants(root / "local" / "up.py")
    queues = [queue["Name"] for queue in _queues(root)]
    container = {
        "main.bicep": _value(main, "uploadsContainer"),
        "events.bicep": _value(events, "uploadsContainer"),
        "local.settings.json.example": example.get("DROPBELL_UPLOADS_CONTAINER"),
        "local/up.py": stack.get("UPLOADS_CONTAINER"),
    }
    table = {
        "main.bicep": _value(main, "table"),
        "local.settings.json.example": example.get("DROPBELL_TABLE"),
        "local/up.py": stack.get("TABLE"),
    }
    queue = {
        CONFIG: queues[0] if len(queues) == 1 else ", ".join(queues),
        "local.settings.json.example": example.get("DROPBELL_QUEUE"),
        "local/up.py": stack.get("QUEUE"),
    }
    dead = {each.name: _value(each, "eventDeadLetterContainer") for each in (main, events)}
    function = {"function_app.py": _blob_function(root), "events.bicep": _webhook_function(text(events.root))}
    function["local/up.py"] = _webhook_function((root / "local" / "up.py").read_text())
    data = parse(root / "infra" / "modules" / "data-storage.bicep")
    staging = {
        data.name: _value(data, "stagingFolder"),
        "shared/files/file.py": _constants(root / "shared" / "files" / "file.py").get("INCOMING"),
    }
    yield from _differing("uploads container", container)
    yield from _differing("table", table)
    yield from _differing("queue", queue)
    yield from _differing("container of undelivered events", dead)
    yield from _differing("function that events are for", function)
    yield from _differing("folder of uploads that are no file yet", staging)


def _host(root: Path) -> Iterator[str]:
    host = json.loads((root / "host.json").read_text())
    queue_trigger = host["extensions"]["serviceBus"]
    if queue_trigger["autoCompleteMessages"] is not True or queue_trigger["prefetchCount"] != 0:
        yield "host.json: deliveries rely on autoCompleteMessages true and prefetchCount 0"
    for queue in _queues(root):
        lock, renewal = (
            _iso_minutes(queue["Properties"]["LockDuration"]),
            queue_trigger["maxAutoLockRenewalDuration"],
        )
        hours, minutes, seconds = map(int, renewal.split(":"))
        if hours * 60 + minutes + seconds / 60 < lock:
            yield f"host.json: renewal for {renewal} is shorter than the lock of {queue['Name']}"
    door = parse(root / "infra" / "modules" / "front-door.bicep")
    prefix = f"/{host['extensions']['http']['routePrefix']}/*"
    if prefix not in {literal(node) for node in walk(door.root) if node.type == "string"}:
        yield f"{door.name}: no route for {prefix}, the prefix of host.json"


def _runtime(root: Path) -> Iterator[str]:
    app = parse(root / "infra" / "modules" / "function-app.bicep")
    versions = {
        literal(value)
        for node in walk(app.root)
        if node.type == "object" and literal(members(node).get("name")) == "python"
        for value in [members(node).get("version")]
    }
    yield from _differing(
        "version of Python",
        {
            app.name: ", ".join(map(str, versions)),
            ".python-version": (root / ".python-version").read_text().strip(),
        },
    )


def _malware(root: Path) -> Iterator[str]:
    """Scanner, role and gate come and go together: otherwise files wait for ever, or not at all."""
    folder = root / "infra"
    settings = parse(folder / "modules" / "app-settings.bicep")
    given = members(settings.of_kind(Kind.VARIABLE)["settings"].value).get("DROPBELL_MALWARE_SCANNING")
    if given is None or text(given) != f"{MALWARE} ? 'required' : 'off'":
        yield f"{settings.name}: DROPBELL_MALWARE_SCANNING does not follow {MALWARE}"
    main, roles = parse(folder / "main.bicep"), parse(folder / "modules" / "roles.bicep")
    modules = main.of_kind(Kind.MODULE)
    for name in ("settings", "roles", "alerts"):
        handed = member(modules[name].body.get("params"), MALWARE)
        if handed is None or text(handed) != MALWARE:
            yield f"{main.name}: {name}.{MALWARE} is not {MALWARE}"
    conditional = [(main, "malware")]
    conditional += [(roles, each.name) for each in roles.declarations if each.name in OF_THE_GATE]
    for file, name in conditional:
        if re.search(rf"\b{name} '[^']+' = if \({MALWARE}\) ", text(file.root)) is None:
            yield f"{file.name}: {name} does not follow {MALWARE}"
    if "malware" not in text(modules["settings"].body["dependsOn"]):
        yield f"{main.name}: settings can be there before the scanner is"


def _differing(what: str, said: Mapping[str, str | None]) -> Iterator[str]:
    if len(set(said.values())) > 1 or None in said.values():
        yield f"{what}: " + ", ".join(f"{file} says {value}" for file, value in said.items())


def _queues(root: Path) -> Sequence[Mapping[str, Any]]:
    config = json.loads((root / CONFIG).read_text())["UserConfig"]
    return [queue for namespace in config["Namespaces"] for queue in namespace["Queues"]]


def _value(file: BicepFile, name: str) -> str | None:
    found = {each.name: each for each in file.declarations}.get(name)
    return literal(found.value) if found else None


def _constants(path: Path) -> Mapping[str, str]:
    """The strings that a Python module gives names at its top."""
    return {
        target.id: node.value.value
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _blob_function(root: Path) -> str | None:
    for node in ast.parse((root / "function_app.py").read_text()).body:
        if isinstance(node, ast.AsyncFunctionDef) and any(
            "blob_trigger" in ast.dump(each) for each in node.decorator_list
        ):
            return node.name
    return None


def _webhook_function(source: str) -> str | None:
    found = re.search(r"functionName=Host\.Functions\.(\w+)", source)
    return found[1] if found else None


def _iso_minutes(duration: str) -> float:
    found = re.fullmatch(r"PT(?:(\d+)M)?(?:(\d+)S)?", duration)
    if found is None:
        raise ValueError(f"{CONFIG}: a lock of {duration}")
    return int(found[1] or 0) + int(found[2] or 0) / 60
