"""The client's sign-in against the local issuer, a process of its own, over https."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from dropbell.command_line import ExitCode, main
from dropbell.errors import ConnectionFailedError, NotSignedInError
from dropbell.service_sign_in import ClientCredentialSignIn
from dropbell.sign_in import BrowserSignIn, DeviceCode, DeviceCodeSignIn
from dropbell.token_store import open_token_cache
from tests.conformance.client.issuer import ALICE, APPS, DIRECTORY, ROOT, SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conformance.client.issuer import Issuer


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def _wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _device_sign_in(issuer: Issuer, **options: Any) -> DeviceCodeSignIn:
    options.setdefault("show", issuer.sign_in_as_alice)
    return DeviceCodeSignIn(
        issuer.authority, APPS["dropbell-cli"]["client_id"], SCOPES, issuer.ca_file, **options
    )


def _browser_sign_in(issuer: Issuer, open_browser: Callable[[str], object], **options: Any) -> BrowserSignIn:
    client_id = APPS["dropbell-cli"]["client_id"]
    return BrowserSignIn(
        issuer.authority, client_id, SCOPES, issuer.ca_file, open_browser=open_browser, **options
    )


def test_a_person_signs_in_by_device_code_and_stays_signed_in_on_disk(issuer: Issuer, tmp_path: Path) -> None:
    account = _device_sign_in(issuer, token_cache=open_token_cache(tmp_path)).log_in()
    assert (account.username, account.object_id) == (ALICE["preferred_username"], ALICE["object_id"])
    assert account.tenant_id == DIRECTORY["tenant_id"]

    later = _device_sign_in(issuer, token_cache=open_token_cache(tmp_path))
    token = later.access_token()
    assert _claims(token)["oid"] == ALICE["object_id"]
    assert {"Files.ReadWrite", "Deliveries.Read"} <= set(_claims(token)["scp"].split())
    assert later.access_token() == token
    assert later.access_token(force_refresh=True) != token


def test_a_person_signs_in_with_the_browser_and_stays_signed_in_on_disk(
    issuer: Issuer, tmp_path: Path
) -> None:
    shown: list[str] = []
    browser_sign_in = _browser_sign_in(
        issuer,
        lambda url: issuer.answer_page(url, user="alice"),
        show=shown.append,
        token_cache=open_token_cache(tmp_path),
    )
    account = browser_sign_in.log_in()
    assert (account.username, account.object_id) == (ALICE["preferred_username"], ALICE["object_id"])
    assert "code_challenge_method=S256" in shown[0]
    assert "state=" in shown[0]

    # Whichever way a person signed in, the cache is the same.
    later = _device_sign_in(issuer, token_cache=open_token_cache(tmp_path))
    assert _claims(later.access_token())["oid"] == ALICE["object_id"]
    assert later.access_token(force_refresh=True) != later.access_token(force_refresh=True)


def test_a_person_who_refuses_in_the_browser_is_not_signed_in(issuer: Issuer) -> None:
    sign_in = _browser_sign_in(issuer, lambda url: issuer.answer_page(url, action="deny"))
    with pytest.raises(NotSignedInError, match="The user refused to sign in"):
        sign_in.log_in()
    assert sign_in.account() is None


def test_a_browser_that_never_answers_is_given_up(issuer: Issuer) -> None:
    def broken(url: str) -> None:
        raise OSError("no such browser")

    sign_in = _browser_sign_in(issuer, broken, timeout_seconds=0.1)
    with pytest.raises(NotSignedInError, match=r"Nobody signed in within 0\.1 s"):
        sign_in.log_in()


def test_whoever_signs_in_later_replaces_who_was_signed_in(issuer: Issuer) -> None:
    people = iter(["alice", "bob"])
    sign_in = _device_sign_in(issuer, show=lambda code: issuer.answer_device(code, user=next(people)))
    sign_in.log_in()
    assert sign_in.log_in().username == "bob@dropbell.example"
    assert _claims(sign_in.access_token())["preferred_username"] == "bob@dropbell.example"


def test_a_person_who_refuses_is_not_signed_in(issuer: Issuer) -> None:
    sign_in = _device_sign_in(issuer, show=issuer.refuse)
    with pytest.raises(NotSignedInError, match="The issuer gave no token"):
        sign_in.log_in()
    assert sign_in.account() is None
    with pytest.raises(NotSignedInError, match="Nobody is signed in"):
        sign_in.access_token()


def test_an_unknown_client_is_told_so(issuer: Issuer) -> None:
    sign_in = DeviceCodeSignIn(
        issuer.authority, "00000000-0000-0000-0000-000000000000", SCOPES, issuer.ca_file
    )
    with pytest.raises(NotSignedInError):
        sign_in.log_in()


def test_an_unknown_tenant_is_told_so(issuer: Issuer) -> None:
    authority = issuer.authority.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000"
    with pytest.raises(NotSignedInError, match="did not answer as an issuer"):
        ClientCredentialSignIn(
            authority, "id", "secret", "api://dropbell/.default", issuer.ca_file
        ).access_token()


def test_an_issuer_with_an_unknown_certificate_is_not_trusted(issuer: Issuer) -> None:
    sign_in = ClientCredentialSignIn(issuer.authority, "id", "secret", "api://dropbell/.default")
    with pytest.raises(ConnectionFailedError, match=r"certificate of https://localhost:.* is not trusted"):
        sign_in.access_token()


def test_a_service_signs_in_as_itself(issuer: Issuer) -> None:
    app = APPS["ingest-app"]
    sign_in = ClientCredentialSignIn(
        issuer.authority, app["client_id"], app["secret"], "api://dropbell/.default", issuer.ca_file
    )
    token = sign_in.access_token()
    assert set(_claims(token)["roles"]) == set(app["roles"])
    assert "scp" not in _claims(token)
    assert sign_in.access_token() == token
    assert sign_in.access_token(force_refresh=True) != token


def test_a_wrong_secret_is_refused(issuer: Issuer) -> None:
    sign_in = ClientCredentialSignIn(
        issuer.authority,
        APPS["ingest-app"]["client_id"],
        "wrong",
        "api://dropbell/.default",
        issuer.ca_file,
    )
    with pytest.raises(NotSignedInError, match="The issuer gave no token"):
        sign_in.access_token()


def test_the_command_line_signs_in_remembers_and_signs_out(
    issuer: Issuer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = {"DROPBELL_CONFIG_DIR": str(tmp_path / "config"), "PYTHONPATH": str(ROOT / "client")}
    login = [sys.executable, "-m", "dropbell", "login", "--json", "--authority", issuer.authority]
    login += ["--client-id", APPS["dropbell-cli"]["client_id"], "--ca-file", issuer.ca_file]
    with subprocess.Popen(  # noqa: S603 - our own program
        login, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        stop = threading.Timer(30, process.kill)
        stop.start()
        assert process.stdout is not None
        issuer.sign_in_as_alice(DeviceCode(**json.loads(process.stdout.readline())))
        assert json.loads(process.stdout.readline())["username"] == ALICE["preferred_username"]
        stop.cancel()
    assert process.returncode == ExitCode.OK

    assert main(["whoami", "--json"], environment) == ExitCode.OK
    assert json.loads(capfd.readouterr().out)["username"] == ALICE["preferred_username"]
    assert main(["logout"], environment) == ExitCode.OK
    assert main(["whoami"], environment) == ExitCode.NOT_SIGNED_IN
    assert list((tmp_path / "config").iterdir()) == []


def test_the_command_line_signs_in_with_the_system_s_browser(issuer: Issuer, tmp_path: Path) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser.py"
    browser.write_text(f"import sys; open({str(opened)!r}, 'w').write(sys.argv[1])")
    environment = {
        "DROPBELL_CONFIG_DIR": str(tmp_path / "config"),
        "PYTHONPATH": str(ROOT / "client"),
        "BROWSER": f"{sys.executable} {browser} %s",
    }
    login = [sys.executable, "-m", "dropbell", "login", "--browser", "--json", "--ca-file", issuer.ca_file]
    login += ["--authority", issuer.authority, "--client-id", APPS["dropbell-cli"]["client_id"]]
    with subprocess.Popen(  # noqa: S603 - our own program
        login, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        stop = threading.Timer(30, process.kill)
        stop.start()
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["sign_in_url"]
        _wait_for(opened.exists)
        issuer.answer_page(url, user="bob")
        assert json.loads(process.stdout.readline())["username"] == "bob@dropbell.example"
        stop.cancel()
    assert process.returncode == ExitCode.OK
    assert opened.read_text() == url
    assert main(["whoami"], environment) == ExitCode.OK


def test_the_command_line_acts_as_a_service(issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    app = APPS["ingest-app"]
    environment = {
        "DROPBELL_AUTHORITY": issuer.authority,
        "DROPBELL_CLIENT_ID": app["client_id"],
        "DROPBELL_CA_FILE": issuer.ca_file,
        "DROPBELL_CLIENT_SECRET": app["secret"],
    }
    assert main(["whoami", "--json"], environment) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == {
        "client_id": app["client_id"],
        "tenant_id": DIRECTORY["tenant_id"],
    }
    assert main(["whoami"], environment | {"DROPBELL_CLIENT_SECRET": "wrong"}) == ExitCode.NOT_SIGNED_IN
