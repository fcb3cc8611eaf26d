from __future__ import annotations

import pytest

from local.http_part import BadRequest, read_body
from local.inbox.behaviour import Answer, Behaviour, BehaviourBook
from local.inbox.messages import Channel
from local.inbox.requests import BehaviourRequest, SecretRequest, read_query

WEBHOOK, EMAIL = Channel.WEBHOOK, Channel.EMAIL


def statuses(book: BehaviourBook, channel: Channel, *paths: str | None) -> list[int]:
    return [book.next_answer(channel, path).status for path in paths]


def test_without_orders_everything_is_accepted() -> None:
    book = BehaviourBook()
    assert statuses(book, WEBHOOK, "/hooks/a") + statuses(book, EMAIL, None) == [200, 250]


def test_a_behaviour_holds_for_its_count_only() -> None:
    book = BehaviourBook()
    book.set(Behaviour(WEBHOOK, Answer(503), count=2))
    assert statuses(book, EMAIL, None) == [250]
    assert statuses(book, WEBHOOK, "/hooks/a", "/hooks/b", "/hooks/a") == [503, 503, 200]


def test_without_a_count_it_holds_until_reset() -> None:
    book = BehaviourBook()
    book.set(Behaviour(EMAIL, Answer(451)))
    assert statuses(book, EMAIL, None, None) == [451, 451]
    book.reset()
    assert statuses(book, EMAIL, None) == [250]


def test_the_behaviour_of_a_path_goes_before_the_general_one() -> None:
    book = BehaviourBook()
    book.set(Behaviour(WEBHOOK, Answer(500)))
    book.set(Behaviour(WEBHOOK, Answer(410), count=1, path="/hooks/a"))
    assert statuses(book, WEBHOOK, "/hooks/b", "/hooks/a", "/hooks/a") == [500, 410, 500]


def test_a_newer_behaviour_replaces_the_one_before() -> None:
    book = BehaviourBook()
    book.set(Behaviour(WEBHOOK, Answer(500)))
    book.set(Behaviour(WEBHOOK, Answer(429), count=1))
    assert statuses(book, WEBHOOK, "/hooks/a", "/hooks/a") == [429, 200]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"status": 503}', Behaviour(WEBHOOK, Answer(503))),
        (b'{"delay": 1, "count": null}', Behaviour(WEBHOOK, Answer(200, 1.0))),
        (b'{"delay_seconds": 0.5, "path": "*"}', Behaviour(WEBHOOK, Answer(200, 0.5))),
        (b'{"channel": "email", "status": 451, "count": 1}', Behaviour(EMAIL, Answer(451), count=1)),
        (b'{"channel": "email"}', Behaviour(EMAIL, Answer(250))),
        (
            b'{"status": 429, "headers": {"Retry-After": "1"}, "path": "/hooks/a"}',
            Behaviour(WEBHOOK, Answer(429, headers={"Retry-After": "1"}), path="/hooks/a"),
        ),
    ],
)
def test_orders_are_read(body: bytes, expected: Behaviour) -> None:
    assert read_body(BehaviourRequest, body).behaviour() == expected


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", "JSON object"),
        (b"[]", "JSON object"),
        (b"[" * 100_000, "JSON object"),
        (b'{"status": 199}', "'status'"),
        (b'{"status": "503"}', "'status'"),
        (b'{"status": true}', "'status'"),
        (b'{"count": -1}', "'count'"),
        (b'{"delay": NaN}', "'delay'"),
        (b'{"delay_seconds": 601}', "'delay_seconds'"),
        (b'{"path": "/elsewhere"}', "'path'"),
        (b'{"headers": {"a b": "c"}}', "'headers'"),
        (b'{"headers": {"a": "c\\r\\nd: e"}}', "'headers'"),
        (b'{"headers": {"Content-Length": "1"}}', "Content-Length"),
        (b'{"channel": "fax"}', "'channel'"),
        (b'{"channel": "email", "status": 302}', "'status'"),
        (b'{"channel": "email", "path": "/hooks/a"}', "'path'"),
        (b'{"stauts": 503}', "'stauts'"),
    ],
)
def test_an_order_that_cannot_be_followed_is_refused_in_one_sentence(body: bytes, names: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        read_body(BehaviourRequest, body)
    assert names in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_unusable_secret_is_refused() -> None:
    with pytest.raises(BadRequest, match="base64"):
        read_body(SecretRequest, b'{"path": "*", "secret": "whsec_%"}')


@pytest.mark.parametrize(
    "parameters",
    [{"channel": "fax"}, {"limit": "0"}, {"limit": "1e3"}, {"limit": "9" * 5000}, {"since": "yesterday"}],
)
def test_a_filter_that_cannot_be_used_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match=next(iter(parameters))):
        read_query(parameters)


@pytest.mark.parametrize(
    "since", ["2026-01-31T12:00:00.1239Z", "2026-01-31T13:00:00.123+01:00", "2026-01-31T13:00:00.123 01:00"]
)
def test_since_has_the_precision_of_what_is_shown(since: str) -> None:
    found = read_query({"since": since}).since
    assert found is not None
    assert found.isoformat() == "2026-01-31T12:00:00.123000+00:00"
