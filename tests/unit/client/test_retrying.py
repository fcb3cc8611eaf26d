"""How patient the client is, without any waiting."""

from __future__ import annotations

import pytest

from dropbell.errors import ConnectionFailedError, DropbellError, InputError, ProblemError
from dropbell.retrying import Attempts, Backoff, is_temporary, persistently

CUT = ConnectionFailedError("The connection broke.")
ABSENT = ConnectionFailedError("Nobody is there.", connected=False)


def refusal(status: int, retry_after_seconds: float | None = None) -> ProblemError:
    return ProblemError(status, "about:blank", "Refused", "", None, retry_after_seconds)


@pytest.mark.parametrize("error", [refusal(400), refusal(409), refusal(413), InputError("no"), ABSENT])
def test_what_cannot_succeed_is_tried_once(error: DropbellError) -> None:
    tried: list[int] = []

    def act() -> None:
        tried.append(1)
        raise error

    with pytest.raises(DropbellError):
        persistently(Backoff(pause=lambda seconds: None), act)
    assert len(tried) == 1


def test_an_absent_service_is_waited_for_once_it_was_reached() -> None:
    errors = [CUT, ABSENT, ABSENT]

    def act() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert persistently(Backoff(pause=lambda seconds: None), act) == "done"


def test_patience_ends_and_begins_again_with_progress() -> None:
    pauses: list[float] = []
    attempts = Attempts(Backoff((1.0, 10.0), pauses.append))
    attempts.wait_after(CUT)
    attempts.wait_after(CUT)
    with pytest.raises(ConnectionFailedError, match="broke"):
        attempts.wait_after(CUT)
    attempts.progressed()
    attempts.wait_after(CUT)
    assert [0.5 <= pauses[0] <= 1, 5 <= pauses[1] <= 10, 0.5 <= pauses[2] <= 1] == [True] * 3


def test_retry_after_is_followed_within_reason() -> None:
    pauses: list[float] = []
    told: list[str] = []
    attempts = Attempts(Backoff((1.0, 1.0), pauses.append, told.append))
    attempts.wait_after(refusal(429, 7))
    assert pauses == [7]
    assert told == ["Refused Trying again in 7.0 s."]
    with pytest.raises(ProblemError):
        attempts.wait_after(refusal(503, 3600))


@pytest.mark.parametrize(
    ("status", "temporary"), [(429, True), (503, True), (500, True), (401, False), (404, False)]
)
def test_statuses_that_pass_by_themselves(status: int, temporary: bool) -> None:
    assert is_temporary(refusal(status)) is temporary
