"""What opens something is in no log and no telemetry: tokens, signed URLs, links."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

import requests

from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, wait_until

if TYPE_CHECKING:
    from tests.end_to_end.running_stack import RunningStack

OF_STORAGE_ITSELF = "azurite_access.log"
"""The emulator's own, from which events are made."""


def logged(stack: RunningStack) -> str:
    folder = Path(stack.addresses["logs"])
    told = requests.get(f"{stack.addresses['app_insights']}/api/items", timeout=HTTP_TIMEOUT_SECONDS).text
    files = [file for file in folder.glob("*.log") if file.name != OF_STORAGE_ITSELF]
    assert files
    return "\n".join([told, *(file.read_text(errors="replace") for file in files)])


def signature(url: str) -> str:
    (value,) = parse_qs(urlsplit(url).query)["sig"]
    return value


def test_what_opens_something_is_in_no_log(stack: RunningStack) -> None:
    token, correlation_id = stack.token(user="alice"), f"logs-{uuid.uuid4()}"
    with requests.Session() as session:
        session.headers.update({"authorization": f"Bearer {token}", "x-correlation-id": correlation_id})

        def send(method: str, path: str, **how: object) -> requests.Response:
            return session.request(
                method,
                stack.url(path),
                timeout=HTTP_TIMEOUT_SECONDS,
                allow_redirects=False,
                **how,  # type: ignore[arg-type]  # as requests has them
            )

        key = str(uuid.uuid4())
        file = send("POST", "/files", data=b"ring", headers={"idempotency-key": key}).json()
        link = send("POST", f"/files/{file['id']}/share-links", json={}).json()["url"]
        redirect = send("GET", f"/files/{file['id']}/content?redirect=true").headers["location"]
        direct = send(
            "POST", "/direct-uploads", json={"name": "a", "content_type": "text/plain", "size_bytes": 4}
        ).json()
        anybody = {"x-correlation-id": correlation_id}
        assert requests.get(link, headers=anybody, timeout=HTTP_TIMEOUT_SECONDS).content == b"ring"
        requests.put(
            direct["upload_url"], b"ring", headers=direct["headers"], timeout=HTTP_TIMEOUT_SECONDS
        ).raise_for_status()
        assert send("POST", f"/direct-uploads/{direct['id']}/complete").ok

    wait_until(lambda: logged(stack).count(correlation_id) >= 6, timeout_seconds=20)  # one for each request
    text = logged(stack)
    secrets = {
        "token": token,
        "signature of the token": token.rpartition(".")[2],
        "link": link.rpartition("/")[2],
        "redirect": signature(redirect),
        "direct upload": signature(direct["upload_url"]),
        "key": key,
    }
    assert {name for name, secret in secrets.items() if secret in text} == set()
    for name in ("redirect", "direct upload"):  # as they stand in a URL
        assert quote(secrets[name], safe="") not in text
