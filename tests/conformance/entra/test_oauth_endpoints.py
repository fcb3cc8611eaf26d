"""The issuer's endpoints, spoken to directly: what a client may do wrong, and what it hears then."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.conformance.entra.issuer_process import CLI_CLIENT_ID, DAEMON_CLIENT_ID, DAEMON_SECRET, TENANT_ID

if TYPE_CHECKING:
    from tests.conformance.entra.issuer_process import IssuerProcess

VERIFIER = "a-verifier-of-at-least-forty-three-characters"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT_URI = "http://127.0.0.1:1/"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
AUTHORIZATION_REQUEST = {
    "client_id": CLI_CLIENT_ID,
    "response_type": "code",
    "redirect_uri": REDIRECT_URI,
    "scope": "openid offline_access api://dropbell/Files.Read",
    "state": "s&=",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "login_hint": "alice",
}


def authorize(issuer: IssuerProcess, **changes: str) -> dict[str, str]:
    """The parameters that the client is sent back with."""
    url = f"{issuer.oauth_url}/authorize?{urlencode(AUTHORIZATION_REQUEST | changes)}"
    answer = issuer.session().get(url, allow_redirects=False, timeout=10)
    assert answer.status_code == 302, answer.text
    location = urlsplit(answer.headers["Location"])
    return dict(parse_qsl(location.query or location.fragment))


def redeem(issuer: IssuerProcess, code: str, **changes: str) -> tuple[int, dict[str, Any]]:
    form = {
        "grant_type": "authorization_code",
        "client_id": CLI_CLIENT_ID,
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    }
    return issuer.token_request(**form | changes)


def start_device(issuer: IssuerProcess, **changes: str) -> tuple[int, dict[str, Any]]:
    form = {"client_id": CLI_CLIENT_ID, "scope": "api://dropbell/Files.Read"} | changes
    answer = issuer.session().post(f"{issuer.oauth_url}/devicecode", data=form, timeout=10)
    return answer.status_code, answer.json()


def poll_device(issuer: IssuerProcess, device_code: str) -> dict[str, Any]:
    return issuer.token_request(grant_type=DEVICE_GRANT, client_id=CLI_CLIENT_ID, device_code=device_code)[1]


def test_discovery_names_endpoints_where_it_was_fetched_and_one_issuer(issuer: IssuerProcess) -> None:
    over_http = issuer.session().get(issuer.discovery_url, timeout=10).json()
    over_https = (
        issuer.session().get(f"{issuer.authority}/.well-known/openid-configuration", timeout=10).json()
    )
    assert over_http["issuer"] == over_https["issuer"] == issuer.issuer
    assert over_http["jwks_uri"].startswith(issuer.base_url)
    assert over_https["token_endpoint"].startswith(issuer.authority)


def test_another_tenant_is_not_here(issuer: IssuerProcess) -> None:
    url = issuer.discovery_url.replace(TENANT_ID, "common")
    assert issuer.session().get(url, timeout=10).json()["error"] == "invalid_tenant"


@pytest.mark.parametrize("response_mode", ["query", "fragment"])
def test_a_code_is_redeemed_once_and_a_second_use_revokes_its_tokens(
    issuer: IssuerProcess, response_mode: str
) -> None:
    response = authorize(issuer, response_mode=response_mode)
    assert response["state"] == "s&="
    status, tokens = redeem(issuer, response["code"])
    assert status == 200
    assert {"access_token", "id_token", "refresh_token"} <= tokens.keys()

    assert redeem(issuer, response["code"])[1]["error"] == "invalid_grant"
    refresh = {"grant_type": "refresh_token", "client_id": CLI_CLIENT_ID}
    assert (
        issuer.token_request(refresh_token=tokens["refresh_token"], **refresh)[1]["error"] == "invalid_grant"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": VERIFIER[::-1]},
        {"code_verifier": "short"},
        {"redirect_uri": "http://127.0.0.1:2/"},
        {"code": "made-up"},
        {"client_id": DAEMON_CLIENT_ID, "client_secret": DAEMON_SECRET},
    ],
)
def test_a_code_is_bound_to_its_request(issuer: IssuerProcess, changes: dict[str, str]) -> None:
    code = authorize(issuer)["code"]
    assert redeem(issuer, **{"code": code} | changes)[1]["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "openid"}, "invalid_scope"),
        ({"scope": "api://other/Files.Read"}, "invalid_scope"),
        ({"login_hint": "", "prompt": "none"}, "login_required"),
        ({"action": "deny"}, "access_denied"),
    ],
)
def test_a_bad_authorization_request_goes_back_to_the_client(
    issuer: IssuerProcess, changes: dict[str, str], error: str
) -> None:
    response = authorize(issuer, **changes)
    assert response["error"] == error
    assert response["state"] == "s&="


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"redirect_uri": "http://127.0.0.1.attacker.example/"},
        {"redirect_uri": "http://localhost/elsewhere"},
        {"redirect_uri": "https://localhost/"},
        {"redirect_uri": ""},
        {"redirect_uri": "http://[bad"},
    ],
)
def test_an_untrusted_redirect_uri_is_never_followed(issuer: IssuerProcess, changes: dict[str, str]) -> None:
    url = f"{issuer.oauth_url}/authorize?{urlencode(AUTHORIZATION_REQUEST | changes)}"
    answer = issuer.session().get(url, allow_redirects=False, timeout=10)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_a_person_picks_a_user_on_the_sign_in_page(issuer: IssuerProcess) -> None:
    parameters = AUTHORIZATION_REQUEST | {"login_hint": "", "state": '"><script>'}
    url = f"{issuer.oauth_url}/authorize?{urlencode(parameters)}"
    page = issuer.session().get(url, timeout=10)
    assert "Olga Operator" in page.text
    assert "<script>" not in page.text

    answer = issuer.session().post(url, data={"user": "olga"}, allow_redirects=False, timeout=10)
    assert answer.status_code == 302
    assert "code=" in answer.headers["Location"]


def test_a_replayed_refresh_token_ends_the_sign_in(issuer: IssuerProcess) -> None:
    def refresh(token: str) -> dict[str, Any]:
        form = {"grant_type": "refresh_token", "client_id": CLI_CLIENT_ID, "refresh_token": token}
        return issuer.token_request(**form)[1]

    first = redeem(issuer, authorize(issuer)["code"])[1]["refresh_token"]
    second = refresh(first)["refresh_token"]
    assert second != first
    assert refresh(first)["error"] == "invalid_grant"
    assert refresh(second)["error"] == "invalid_grant"


def test_a_device_waits_is_slowed_down_and_gets_its_token_once(issuer: IssuerProcess) -> None:
    _, flow = start_device(issuer)
    assert poll_device(issuer, flow["device_code"])["error"] == "authorization_pending"
    assert poll_device(issuer, flow["device_code"])["error"] == "slow_down"
    spelled = f"{flow['user_code'][:4]}-{flow['user_code'][4:]}".lower()
    form = {"user_code": spelled, "user": "alice"}
    assert issuer.session().post(flow["verification_uri"], data=form, timeout=10).status_code == 200
    assert poll_device(issuer, flow["device_code"])["token_type"] == "Bearer"
    assert poll_device(issuer, flow["device_code"])["error"] == "invalid_grant"


def test_a_refused_device_hears_so(issuer: IssuerProcess) -> None:
    _, flow = start_device(issuer)
    form = {"user_code": flow["user_code"], "action": "deny"}
    assert issuer.session().post(flow["verification_uri"], data=form, timeout=10).status_code == 200
    assert poll_device(issuer, flow["device_code"])["error"] == "access_denied"


@pytest.mark.parametrize("form", [{"user_code": "BCDFGHJK", "user": "alice"}, {"user": "alice"}, {}])
def test_the_device_page_refuses_a_wrong_code(issuer: IssuerProcess, form: dict[str, str]) -> None:
    _, flow = start_device(issuer)
    assert issuer.session().post(flow["verification_uri"], data=form, timeout=10).status_code == 400
    assert poll_device(issuer, flow["device_code"])["error"] == "authorization_pending"


def test_the_device_page_asks_again_for_an_unknown_user(issuer: IssuerProcess) -> None:
    _, flow = start_device(issuer)
    form = {"user_code": flow["user_code"], "user": "mallory"}
    answer = issuer.session().post(flow["verification_uri"], data=form, timeout=10)
    assert (answer.status_code, flow["user_code"] in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"client_id": CLI_CLIENT_ID}, 400, "invalid_request"),
        ({"client_id": "nobody", "grant_type": "refresh_token"}, 401, "invalid_client"),
        ({"client_id": CLI_CLIENT_ID, "grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": CLI_CLIENT_ID, "grant_type": "client_credentials"}, 400, "unauthorized_client"),
        (
            {"client_id": CLI_CLIENT_ID, "client_secret": "x", "grant_type": "refresh_token"},
            401,
            "invalid_client",
        ),
        ({"client_id": DAEMON_CLIENT_ID, "grant_type": "client_credentials"}, 401, "invalid_client"),
        ({"client_id": CLI_CLIENT_ID, "grant_type": DEVICE_GRANT, "device_code": "x"}, 400, "invalid_grant"),
        (
            {
                "client_id": DAEMON_CLIENT_ID,
                "client_secret": DAEMON_SECRET,
                "grant_type": "client_credentials",
                "scope": "api://dropbell/Files.Read",
            },
            400,
            "invalid_scope",
        ),
    ],
)
def test_the_token_endpoint_says_what_is_wrong(
    issuer: IssuerProcess, form: dict[str, str], status: int, error: str
) -> None:
    answered, body = issuer.token_request(**form)
    assert (answered, body["error"]) == (status, error)


def test_client_credentials_by_basic_authentication(issuer: IssuerProcess) -> None:
    def request(secret: str, **more: str) -> Any:
        form = {"grant_type": "client_credentials", "scope": "api://dropbell/.default"} | more
        session = issuer.session()
        return session.post(
            f"{issuer.oauth_url}/token", data=form, auth=(DAEMON_CLIENT_ID, secret), timeout=10
        )

    assert request(DAEMON_SECRET).json()["token_type"] == "Bearer"
    refused = request("guess")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic")
    assert request(DAEMON_SECRET, client_secret=DAEMON_SECRET).json()["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"grant_type=refresh_token&grant_type=client_credentials", "application/x-www-form-urlencoded"),
        (b"grant_type=\xff", "application/x-www-form-urlencoded"),
        (b"grant_type=refresh_token", "application/x-www-form-urlencoded; charset=klingon"),
        (b'{"grant_type": "refresh_token"}', "application/json"),
        (b"", ""),
    ],
)
def test_a_form_that_cannot_be_understood_is_refused(
    issuer: IssuerProcess, body: bytes, content_type: str
) -> None:
    headers = {"Content-Type": content_type}
    answer = issuer.session().post(f"{issuer.oauth_url}/token", data=body, headers=headers, timeout=10)
    assert answer.json()["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"user": "alice", "app": "ingest-app"}, 400),
        ({"app": "ingest-app", "scopes": ["Files.Read"]}, 400),
        ({"user": "alice", "flaw": "ugly"}, 400),
        ({"user": "alice", "flaw": "app_without_idtyp"}, 400),
        ({"user": "alice", "lifetime_seconds": 0}, 400),
        ({"user": "alice", "scopes": ["Files.Steal"]}, 400),
        ({"user": "alice", "roles": ["Emperor"]}, 400),
        ({"user": "alice", "surprise": 1}, 400),
        ({"user": "mallory"}, 404),
        ({"app": "mallory"}, 404),
        ([], 400),
    ],
)
def test_minting_says_what_is_wrong(issuer: IssuerProcess, body: Any, status: int) -> None:
    answer = issuer.session().post(f"{issuer.base_url}/local/tokens", json=body, timeout=10)
    assert answer.status_code == status
    assert answer.json()["error_description"]


def test_the_home_page_says_what_is_here(issuer: IssuerProcess) -> None:
    page = issuer.session().get(issuer.base_url, timeout=10).text
    assert issuer.issuer in page
    assert DAEMON_SECRET not in page
