from __future__ import annotations

import os
import subprocess
import sys

import pytest

from shared.adapters.memory import MemoryTables
from shared.app import Application
from shared.notifications.subscription import ChannelKind
from tests.unit.identity import forge
from tests.unit.shared.asgi import body_of, request
from tests.unit.shared.portal import SETTINGS, Portal


@pytest.mark.parametrize("name", ["tabels", "announce", "__init__", "_credential", "nothing"])
def test_a_collaborator_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        Application(SETTINGS, **{name: object()})


def test_what_is_handed_in_is_used_and_built_on() -> None:
    tables = MemoryTables()
    app = Application(SETTINGS, tables=tables)
    assert app.tables is tables
    assert app.settings is SETTINGS


def test_each_collaborator_is_built_once_and_only_when_it_is_needed() -> None:
    app = Application(SETTINGS)
    assert set(vars(app)) == {"settings"}
    assert app.secret_box is app.secret_box
    assert set(vars(app)) == {"settings", "secret_box"}


def test_settings_reach_what_they_are_for() -> None:
    app = Portal().app
    assert app.target_policy.check_url("http://127.0.0.1:1/").allowed_by_name
    assert set(app.channels) == {ChannelKind.WEBHOOK, ChannelKind.CHAT}


async def test_shallow_health_needs_no_settings_and_no_services() -> None:
    response = await Application().health.answer(request())
    assert (response.status_code, body_of(response)) == (200, {"status": "ok"})


def test_importing_the_application_imports_no_sdk() -> None:
    """A cold start pays only for what its first request needs."""
    heavy = {
        "azure.storage",
        "azure.data",
        "azure.servicebus",
        "azure.identity",
        "aiohttp",
        "pydantic",
        "jwt",
    }
    script = f"import sys, shared.app; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(  # noqa: S603 - our own interpreter, our own words
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": "."},
        check=True,
    )
    assert done.stdout.strip() == "[]"


async def test_an_upload_is_announced_and_delivered_end_to_end_in_memory() -> None:
    portal = Portal()
    made = body_of(await portal.subscribe(b'{"channel": "webhook", "target": "http://127.0.0.1:9/hook"}'))
    await portal.upload(b"hello")
    (name,) = portal.blobs.contents
    await portal.app.announce(name)
    (message,) = portal.queue.messages
    await portal.app.deliver(message.body, enqueued_at=forge.NOW)
    ((url, headers, _),) = portal.sender.posts
    assert url == "http://127.0.0.1:9/hook"
    assert headers["webhook-id"].endswith(made["id"])
