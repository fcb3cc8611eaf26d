"""The page in a headless Chromium: what a person sees of what was sent, in every size and scheme."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import SpanKind

from tests.clients.node import run_node
from tests.conformance.app_insights.sender import Sender, trace_id_of
from tests.conformance.app_insights.traces import FileStory, measure

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.app_insights.conftest import AppInsights

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
NO_SIDEWAYS_SCROLLING = "fits=document.documentElement.scrollWidth <= window.innerWidth"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def look(
    address: str, ready: str, *orders: str, tell: tuple[str, ...] = (), **options: object
) -> dict[str, Any]:
    """What the page says, once it was told nothing but good."""
    arguments = [each for order in orders for each in ("--do", order)]
    arguments += [each for asked in tell for each in ("--tell", asked)]
    arguments += [str(each) for name, value in options.items() for each in (f"--{name}", value)]
    answer = run_node("traces/look.mjs", "--page", address, "--ready", ready, *arguments)
    assert answer["complaints"] == []
    told: dict[str, Any] = answer["told"]
    return told


@pytest.fixture(scope="module")
def story(insights: AppInsights) -> FileStory:
    with closing(Sender(insights.address)) as sender:
        measure(sender, 3)
        return FileStory(sender, datetime.now(UTC) - timedelta(minutes=2)).tell()


def test_a_file_is_found_and_its_trace_is_walked_by_keyboard(insights: AppInsights, story: FileStory) -> None:
    told = look(
        insights.address,
        ".trace",
        f"type:#q:{story.file_id}",
        "click:#search button",
        "wait:.row",
        "click:.fold input",  # the true axis, and back
        "click:.fold input",
        "click:.delivery:first-child .attempt",  # looks at the first attempt of what was redriven
        "key:ArrowDown",
        "key:ArrowLeft",  # to the attempt again
        "key:ArrowLeft",  # closes it
        "wait:.row[aria-expanded=false]",
        tell=(
            "path=location.pathname",
            "rows=document.querySelectorAll('.row').length",
            "focused=document.activeElement.querySelector('.text').textContent",
            "details=document.querySelector('.details').innerText",
            "folds=document.querySelectorAll('.scale .folded').length",
            "bars=[...document.querySelectorAll('.span')].every((bar) => bar.clientWidth >= 3)",
            "tree=document.querySelector('[role=treegrid] [role=row][aria-level]').ariaLevel",
            NO_SIDEWAYS_SCROLLING,
        ),
    )
    assert told["path"] == f"/traces/{story.trace_id}"
    assert told["rows"] == 46 - 3
    assert told["focused"] == "deliver"
    assert "dropbell.delivery.attempt" in told["details"]
    assert "the receiver answered 500" in told["details"]
    assert (told["folds"], told["bars"], told["tree"], told["fits"]) == (3, True, "1", True)


def test_what_was_sent_is_text_and_nothing_more(insights: AppInsights) -> None:
    with closing(Sender(insights.address)) as sender:
        span = sender.span(
            HOSTILE, SpanKind.SERVER, datetime.now(UTC), 5, attributes={"file_id": HOSTILE}, failure="x"
        )
        sender.event(HOSTILE, datetime.now(UTC), span, {HOSTILE: HOSTILE, "level": "error"})
        sender.log(HOSTILE, datetime.now(UTC), span, severity=SeverityNumber.ERROR)
        sender.event(
            "dropbell.delivery.attempt", datetime.now(UTC), span, {"delivery_id": HOSTILE, "channel": HOSTILE}
        )
        sender.meter.create_counter("planted").add(1, {HOSTILE: HOSTILE})
    told = look(
        insights.address,
        ".metric",
        "click:.trace .name",
        "wait:.row",
        "click:.row",
        "wait:.details table",
        tell=(
            "title=document.title",
            "name=document.querySelector('#name').textContent",
            "planted=document.querySelectorAll('body script, body img').length",
            NO_SIDEWAYS_SCROLLING,
        ),
    )
    assert told == {"title": f"✕ {HOSTILE} · Dropbell", "name": HOSTILE, "planted": 0, "fits": True}
    assert insights.get(f"/api/search?trace_id={trace_id_of(span)}") == {"trace_ids": [trace_id_of(span)]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_everything_fits(
    insights: AppInsights, story: FileStory, tmp_path: Path, scheme: str
) -> None:
    picture = tmp_path / "phone.png"
    told = look(
        f"{insights.address}/traces/{story.trace_id}",
        ".row",
        "click:.row .text",
        "wait:.details table",
        tell=(NO_SIDEWAYS_SCROLLING, "ground=getComputedStyle(document.body).backgroundColor"),
        width=360,
        height=740,
        scheme=scheme,
        screenshot=picture,
    )
    assert told == {
        "fits": True,
        "ground": {"light": "rgb(246, 246, 244)", "dark": "rgb(19, 20, 23)"}[scheme],
    }
    assert picture.read_bytes().startswith(PNG_SIGNATURE)
