from __future__ import annotations

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from shared.adapters.memory import MemoryClock
from shared.errors import RateLimitedError
from shared.web.call import Call, Front
from shared.web.rate_limit import Bucket, RateLimiter, RateLimitPolicy
from tests.unit.shared.asgi import body_of, request
from tests.unit.shared.portal import Portal, bearer

POLICY = RateLimitPolicy(requests=3, window_seconds=60)


def limiter(policy: RateLimitPolicy = POLICY, **options: int) -> tuple[RateLimiter, MemoryClock]:
    clock = MemoryClock()
    return RateLimiter(policy, clock, **options), clock


def test_a_burst_of_the_whole_allowance_passes_and_the_next_request_does_not() -> None:
    limit, _ = limiter()

    assert [limit.take("alice").remaining for _ in range(3)] == [2, 1, 0]
    with pytest.raises(RateLimitedError) as refused:
        limit.take("alice")

    assert refused.value.status == 429
    assert refused.value.headers == {
        "ratelimit-policy": '"default";q=3;w=60',
        "ratelimit": '"default";r=0;t=20',
        "retry-after": "20",
    }


def test_waiting_for_as_long_as_told_is_enough() -> None:
    limit, clock = limiter()
    for _ in range(3):
        limit.take("alice")
    clock.advance(19.9)
    with pytest.raises(RateLimitedError) as refused:
        limit.take("alice")

    clock.advance(int(refused.value.headers["retry-after"]))

    assert limit.take("alice").remaining == 0


def test_what_was_refused_does_not_count() -> None:
    limit, clock = limiter()
    for _ in range(3):
        limit.take("alice")
    for _ in range(10):
        with pytest.raises(RateLimitedError):
            limit.take("alice")

    clock.advance(20)

    limit.take("alice")


def test_the_allowance_never_grows_over_the_policy() -> None:
    limit, clock = limiter()
    limit.take("alice")

    clock.advance(86_400)

    assert limit.take("alice").remaining == 2


def test_a_clock_that_is_set_back_locks_nobody_out_for_longer_than_the_window() -> None:
    limit, clock = limiter()
    limit.take("alice")

    clock.advance(-86_400)
    with pytest.raises(RateLimitedError) as refused:
        limit.take("alice")

    assert refused.value.headers["retry-after"] == "20"
    clock.advance(60)
    assert limit.take("alice").remaining == 2


def test_every_request_of_a_large_allowance_is_granted_and_none_more() -> None:
    limit, clock = limiter(RateLimitPolicy(requests=700, window_seconds=60))
    clock.advance(12_345.678901)

    assert [limit.take("alice").remaining for _ in range(700)] == list(reversed(range(700)))
    with pytest.raises(RateLimitedError):
        limit.take("alice")


def test_callers_do_not_share() -> None:
    limit, _ = limiter()
    for _ in range(3):
        limit.take("alice")

    assert limit.take("bob").remaining == 2


def test_the_caller_who_was_away_longest_is_forgotten() -> None:
    limit, _ = limiter(max_callers=2)
    limit.take("alice")
    limit.take("bob")
    limit.take("alice")
    limit.take("carol")  # bob goes

    assert limit.take("alice").remaining == 0
    assert limit.take("bob").remaining == 2


def test_the_fields_are_structured_fields_and_tell_when_all_is_back() -> None:
    limit, clock = limiter()
    limit.take("alice")
    clock.advance(0.5)

    headers = limit.take("alice").headers

    assert http_sf.parse(headers["ratelimit-policy"].encode(), tltype="list") == [
        ("default", {"q": 3, "w": 60})
    ]
    assert http_sf.parse(headers["ratelimit"].encode(), tltype="list") == [("default", {"r": 1, "t": 40})]


@pytest.mark.parametrize(("requests", "window_seconds"), [(0, 60), (-1, 60), (5, 0)])
def test_a_policy_that_lets_nobody_in_is_refused(requests: int, window_seconds: int) -> None:
    with pytest.raises(ValueError, match="at least one request"):
        RateLimitPolicy(requests, window_seconds)


@given(
    st.integers(1, 50),
    st.integers(1, 600),
    st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=60),
)
def test_no_window_lets_more_through_than_a_full_bucket_and_its_refill(
    requests: int, window_seconds: int, pauses_seconds: list[float]
) -> None:
    policy = RateLimitPolicy(requests, window_seconds)
    bucket, now_seconds, passed = Bucket(0.0), 0.0, 0
    for pause_seconds in pauses_seconds:
        now_seconds += pause_seconds
        taken = bucket.taken(policy, now_seconds)
        passed += taken is not None
        bucket = taken or bucket

    assert passed <= requests + now_seconds / policy.seconds_per_request + 1e-3


async def test_every_answer_to_a_known_caller_tells_what_is_left_and_one_to_a_stranger_does_not() -> None:
    portal = Portal()

    known = await portal.app.answer("get_file", request(headers=bearer(), file_id="7"))
    stranger = await portal.app.answer("get_file", request(file_id="7"))

    assert (known.status_code, stranger.status_code) == (404, 401)
    assert known.headers["ratelimit"].startswith('"default";r=')
    assert "ratelimit" not in stranger.headers


async def test_over_the_limit_the_answer_is_a_problem_that_says_when_to_go_on() -> None:
    front = Front(Portal().app.validator, limiter=limiter(RateLimitPolicy(1, 60))[0])

    async def work(call: Call) -> Response:
        return Response(status_code=204)

    answers = [await front.answer("list_files", request(headers=bearer()), work) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 429]
    assert body_of(answers[1])["type"] == "/api/problems/rate-limited"
    assert answers[1].headers["retry-after"] == "60"
    assert answers[1].headers["ratelimit"] == '"default";r=0;t=60'
