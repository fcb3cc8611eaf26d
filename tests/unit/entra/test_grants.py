from __future__ import annotations

import base64
import hashlib
from itertools import product

import pytest

from local.entra.directory import load_directory
from local.entra.grants import (
    AuthorizationCodes,
    CodeRequest,
    DeviceSignIn,
    DeviceSignIns,
    DeviceState,
    RefreshTokens,
    SignIn,
)
from local.entra.oauth_error import OAuthError
from local.entra.scopes import parse_scopes

DIRECTORY = load_directory()
ALICE, CLI, OTHER = DIRECTORY.users[0], DIRECTORY.apps[0], DIRECTORY.apps[1]
SCOPES = parse_scopes("api://dropbell/Files.Read", DIRECTORY.api)
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def sign_in() -> SignIn:
    return SignIn(ALICE, CLI, SCOPES)


def poll_error(devices: DeviceSignIns, device: DeviceSignIn, now_seconds: float) -> str:
    with pytest.raises(OAuthError) as refused:
        devices.redeem(device.device_code, CLI, now_seconds)
    return refused.value.code


def approved(device: DeviceSignIn) -> DeviceSignIn:
    device.user = ALICE
    device.move_to(DeviceState.APPROVED)
    return device


def test_a_device_is_asked_to_slow_down_and_then_waits_longer() -> None:
    devices = DeviceSignIns(interval_seconds=5)
    device = devices.start(CLI, SCOPES, 0)
    assert poll_error(devices, device, 0) == "authorization_pending"
    assert poll_error(devices, device, 5) == "authorization_pending"
    assert poll_error(devices, device, 7) == "slow_down"
    assert poll_error(devices, device, 14) == "slow_down"
    assert poll_error(devices, device, 30) == "authorization_pending"


def test_a_device_code_expires_even_when_it_was_approved() -> None:
    devices = DeviceSignIns(lifetime_seconds=900)
    device = approved(devices.start(CLI, SCOPES, 0))
    assert poll_error(devices, device, 900) == "expired_token"


def test_an_expired_user_code_is_not_taken() -> None:
    devices = DeviceSignIns(lifetime_seconds=900)
    device = devices.start(CLI, SCOPES, 0)
    assert devices.pending(device.user_code, 899) is device
    assert devices.pending(device.user_code, 900) is None


def test_a_late_poll_hears_that_the_code_expired_until_it_is_forgotten() -> None:
    devices = DeviceSignIns(lifetime_seconds=900)
    device = devices.start(CLI, SCOPES, 0)
    devices.start(CLI, SCOPES, 1000)
    assert poll_error(devices, device, 1000) == "expired_token"
    devices.start(CLI, SCOPES, 1800)
    assert poll_error(devices, device, 1800) == "invalid_grant"


def test_a_device_code_belongs_to_its_client() -> None:
    devices = DeviceSignIns()
    device = approved(devices.start(CLI, SCOPES, 0))
    with pytest.raises(OAuthError):
        devices.redeem(device.device_code, OTHER, 1)
    assert devices.redeem(device.device_code, CLI, 1).user is ALICE


@pytest.mark.parametrize("spelling", ["{}", " {} ", "{}-", "{}\n"])
def test_a_user_code_may_be_typed_carelessly(spelling: str) -> None:
    devices = DeviceSignIns()
    device = devices.start(CLI, SCOPES, 0)
    assert devices.pending(spelling.format(device.user_code.lower()), 1) is device


def test_an_empty_user_code_matches_nothing() -> None:
    devices = DeviceSignIns()
    devices.start(CLI, SCOPES, 0)
    assert devices.pending("", 1) is None


def test_only_these_changes_of_state_are_possible() -> None:
    possible = set()
    for before, after in product(DeviceState, DeviceState):
        device = DeviceSignIns().start(CLI, SCOPES, 0)
        device.state = before
        try:
            device.move_to(after)
        except ValueError:
            continue
        possible.add((before, after))
    assert possible == {
        (DeviceState.PENDING, DeviceState.APPROVED),
        (DeviceState.PENDING, DeviceState.DENIED),
        (DeviceState.APPROVED, DeviceState.REDEEMED),
    }


def test_an_authorization_code_holds_for_ten_minutes() -> None:
    codes = AuthorizationCodes()
    code = codes.issue(sign_in(), CodeRequest("http://localhost", CHALLENGE), 0)
    with pytest.raises(OAuthError):
        codes.redeem(code, CLI, "http://localhost", VERIFIER, 600)
    assert codes.redeem(code, CLI, "http://localhost", VERIFIER, 599).user is ALICE


@pytest.mark.parametrize("challenge", ["", "short", VERIFIER + "v", "=" * 43])
def test_a_challenge_that_s256_cannot_have_made_is_refused(challenge: str) -> None:
    with pytest.raises(OAuthError):
        CodeRequest("http://localhost", challenge)


def test_a_refresh_token_holds_for_a_day_and_for_its_client() -> None:
    tokens = RefreshTokens()
    token = tokens.issue(sign_in(), 0)
    for client, now_seconds in [(OTHER, 1), (CLI, 24 * 3600)]:
        with pytest.raises(OAuthError):
            tokens.redeem(token, client, now_seconds)
    assert tokens.redeem(token, CLI, 24 * 3600 - 1).user is ALICE
