from __future__ import annotations

from typing import Any

import pytest

from shared.adapters.memory import MemoryClock, MemoryTables
from shared.errors import ProblemError
from shared.ledger.signed_token import Signer
from shared.notifications import subscription as subscriptions
from shared.notifications.subscription import ChannelKind, Subscription, SubscriptionStatus
from shared.notifications.unsubscribing import Unsubscribing
from shared.web.problem import problem_response
from shared.web.unsubscribe import MAX_FORM_BYTES, UnsubscribeRoutes, content_security_policy
from tests.unit.shared import sample
from tests.unit.shared.asgi import Client, body_of, request

KEY = b"k" * 32
FORM = {"content-type": "application/x-www-form-urlencoded"}
ONE_CLICK = b"List-Unsubscribe=One-Click"
PARTS = {"content-type": 'multipart/form-data; boundary="edge"'}
ONE_CLICK_PART = (
    b'--edge\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--edge--\r\n'
)


class Reader:
    """Somebody with a mail about subscription 1, and the routes that its link leads to."""

    def __init__(self) -> None:
        self.clock = MemoryClock(sample.NOW)
        self.tables = MemoryTables()
        self.unsubscribing = Unsubscribing(self.tables, self.clock, Signer(KEY, "unsubscribe"))
        self.routes = UnsubscribeRoutes(self.unsubscribing)
        self.token = self.unsubscribing.token(sample.subscription())

    async def subscribed(self, **changes: Any) -> None:
        await sample.insert(self.tables, sample.subscription(channel=ChannelKind.EMAIL, **changes))

    async def row(self) -> Subscription:
        row = await self.tables.get(sample.OWNER, subscriptions.row_key(sample.subscription().id))
        assert row is not None
        return subscriptions.from_entity(row)

    async def get(self, token: str | None = None) -> Any:
        return await self._answer(self.routes.show_unsubscribe, request(token=token or self.token))

    async def post(
        self, body: bytes = ONE_CLICK, *, headers: dict[str, str] = FORM, token: str | None = None
    ) -> Any:
        asked = request("POST", headers=headers, client=Client((body,)), token=token or self.token)
        return await self._answer(self.routes.unsubscribe, asked)

    async def _answer(self, handler: Any, asked: Any) -> Any:
        try:
            return await handler(asked)
        except ProblemError as error:
            return problem_response(error, correlation_id="correlation-4")


@pytest.fixture
async def reader() -> Reader:
    made = Reader()
    await made.subscribed()
    return made


def made_up_tokens() -> list[str]:
    other_purpose = Unsubscribing(MemoryTables(), MemoryClock(), Signer(KEY, "share-link"))
    signer = Signer(KEY, "unsubscribe")
    token = Reader().token
    return [
        "A" * 64,
        "é",
        token[:-2] + "AA",
        token + "A" * 100,
        other_purpose.token(sample.subscription()),
        signer.sign(b"too short"),
    ]


@pytest.mark.parametrize("token", made_up_tokens())
async def test_a_made_up_token_is_not_found(reader: Reader, token: str) -> None:
    assert (await reader.get(token)).status_code == 404
    assert (await reader.post(token=token)).status_code == 404
    assert (await reader.row()).status is SubscriptionStatus.ACTIVE


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", FORM),
        (b"List-Unsubscribe=No", FORM),
        (b"List-Unsubscribe", FORM),
        (b"\xff\xfe=%", FORM),
        (b'{"List-Unsubscribe": "One-Click"}', {"content-type": "application/json"}),
        (ONE_CLICK_PART, FORM),
        (ONE_CLICK, PARTS),
        (ONE_CLICK_PART.removesuffix(b"--edge--\r\n"), PARTS),
        (ONE_CLICK_PART.replace(b"List-", b""), PARTS),
        (ONE_CLICK_PART, {"content-type": "multipart/form-data"}),
        (b"--edge\r\nContent-Disposition: form-data; name=\xff\r\n\r\nOne-Click\r\n--edge--\r\n", PARTS),
    ],
)
async def test_what_is_no_one_click_form_changes_nothing(
    reader: Reader, body: bytes, headers: dict[str, str]
) -> None:
    response = await reader.post(body, headers=headers)
    assert (response.status_code, body_of(response)["type"]) == (400, "/api/problems/invalid-body")
    assert (await reader.row()).status is SubscriptionStatus.ACTIVE


async def test_a_form_without_end_is_not_read_to_its_end(reader: Reader) -> None:
    assert (await reader.post(b"x" * (MAX_FORM_BYTES + 1))).status_code == 413


async def test_following_the_link_changes_nothing_and_shows_one_button(reader: Reader) -> None:
    response = await reader.get()
    page = response.body.decode()
    assert (response.status_code, response.media_type) == (200, "text/html; charset=utf-8")
    assert page.count("<button>") == 1
    assert '<form method="post">' in page
    assert (await reader.row()).status is SubscriptionStatus.ACTIVE


async def test_the_page_loads_nothing_and_keeps_its_address_to_itself(reader: Reader) -> None:
    headers = (await reader.get()).headers
    assert headers["content-security-policy"] == content_security_policy()
    assert "default-src 'none'" in content_security_policy()
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("body", "headers"), [(ONE_CLICK, FORM), (ONE_CLICK_PART, PARTS), (ONE_CLICK, {})])
async def test_one_click_ends_the_subscription(reader: Reader, body: bytes, headers: dict[str, str]) -> None:
    reader.clock.advance(60)
    assert (await reader.post(body, headers=headers)).status_code == 200
    row = await reader.row()
    assert (row.status, row.status_reason) == (SubscriptionStatus.DISABLED, "unsubscribed")
    assert row.updated_at == reader.clock.now()


async def test_once_more_is_no_error_and_writes_nothing(reader: Reader) -> None:
    await reader.post()
    before = await reader.row()
    assert (await reader.post()).status_code == 200
    assert await reader.row() == before
    assert "<button>" not in (await reader.get()).body.decode()


@pytest.mark.parametrize("status", [SubscriptionStatus.PENDING, SubscriptionStatus.PAUSED])
async def test_a_subscription_that_rests_ends_too(status: SubscriptionStatus) -> None:
    reader = Reader()
    await reader.subscribed(status=status)
    await reader.post()
    assert (await reader.row()).status is SubscriptionStatus.DISABLED


async def test_one_that_was_failing_is_wanted_no_more() -> None:
    reader = Reader()
    await reader.subscribed(status=SubscriptionStatus.DISABLED, status_reason="failing for five days")
    await reader.post()
    assert (await reader.row()).status_reason == "unsubscribed"


async def test_a_deleted_subscription_has_ended_already() -> None:
    reader = Reader()
    assert (await reader.get()).status_code == 200
    assert (await reader.post()).status_code == 200
    assert not reader.tables.rows
