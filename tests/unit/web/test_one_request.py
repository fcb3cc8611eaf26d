"""``POST /files`` over memory adapters: forms, digests, and requests that are sent more than once."""

from __future__ import annotations

import asyncio
import hashlib
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.memory import MemoryBlobs, MemoryClock, MemoryTables
from shared.errors import UnavailableError
from shared.files.intake import Intake
from shared.files.quota import Quota, QuotaPolicy
from shared.ledger.idempotency import KIND
from shared.web.one_request import OneRequest
from tests.unit.identity import forge
from tests.unit.shared.asgi import Client, body_of, request
from tests.unit.shared.portal import BOB, MAX_FILE_BYTES, Portal, bearer
from tests.unit.web.shelf import answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from shared.ports import BlobProperties, Change

FORM = "multipart/form-data; boundary=edge"


def form(content: bytes, *, name: str = "a.txt", fields: Mapping[str, str] | None = None) -> bytes:
    before = "".join(
        f'--edge\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in (fields or {}).items()
    )
    head = f'--edge\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n'
    return (before + head).encode() + b"Content-Type: text/plain\r\n\r\n" + content + b"\r\n--edge--\r\n"


def digest(content: bytes, algorithm: str = "sha-256") -> str:
    made = hashlib.new(algorithm.replace("-", ""), content).digest()
    return f"{algorithm}=:{b64encode(made).decode()}:"


def code_of(response: Any) -> str:
    return str(body_of(response)["type"]).rpartition("/")[2]


def files_of(portal: Portal) -> list[str]:
    return [key for _, key in portal.tables.rows if key.startswith("file|")]


def keys_of(portal: Portal) -> list[str]:
    return [key for _, key in portal.tables.rows if key.startswith(f"{KIND}|")]


def is_empty(portal: Portal) -> bool:
    return not portal.blobs.contents and not files_of(portal) and not keys_of(portal)


# -- forms -----------------------------------------------------------------------------------------------


async def test_the_file_of_a_form_is_stored_like_any_other() -> None:
    portal = Portal()
    body = form(b"hello", fields={"name": "Übersicht.txt", "labels": '{"project": "roof"}', "submit": "Go"})
    response = await portal.upload(body, content_type=FORM, content_length=str(len(body)))
    file = body_of(response)
    assert response.status_code == 201, file
    assert (file["name"], file["content_type"], file["size_bytes"]) == ("Übersicht.txt", "text/plain", 5)
    assert file["labels"] == {"project": "roof"}
    assert list(portal.blobs.contents.values()) == [b"hello"]
    assert response.headers["repr-digest"] == digest(b"hello")


async def test_the_name_of_a_form_is_that_of_its_part() -> None:
    assert body_of(await Portal().upload(form(b"x", name="b.txt"), content_type=FORM))["name"] == "b.txt"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"no form", 400, "invalid-form"),
        (form(b"x")[:-8], 400, "invalid-form"),
        (form(b"x") + form(b"y"), 400, "invalid-form"),
        (form(b""), 400, "body-missing"),
        (form(b"x" * (MAX_FILE_BYTES + 1)), 413, "too-large"),
        (form(b"x", name="../x"), 400, "invalid-name"),
        (form(b"x", fields={"name": "a/b"}), 400, "invalid-name"),
        (form(b"x", fields={"labels": "{"}), 400, "invalid-form"),
        (form(b"x", fields={"labels": "[]"}), 400, "invalid-form"),
        (form(b"x", fields={"labels": '{"a": 1}'}), 400, "invalid-form"),
        (form(b"x", fields={"labels": '{"UPPER": "x"}'}), 400, "invalid-form"),
        (form(b"x", fields={"labels": "[" * 5000}), 400, "invalid-form"),
        (
            form(b"x", fields={"labels": json.dumps({f"k{n}": "v" * 255 for n in range(30)})}),
            400,
            "invalid-form",
        ),
    ],
)
async def test_a_bad_form_gets_its_problem_and_leaves_nothing(body: bytes, status: int, code: str) -> None:
    cases: list[dict[str, Any]] = [{}, {"idempotency_key": "k"}]
    for headers in cases:
        portal = Portal()
        response = await portal.upload(body[:50], body[50:], content_type=FORM, **headers)
        assert (response.status_code, code_of(response)) == (status, code)
        assert is_empty(portal)


async def test_a_form_that_must_hold_too_large_a_file_is_refused_before_it_is_read() -> None:
    portal, client = Portal(), Client((b"x",))
    headers = bearer() | {"content-type": FORM, "content-length": str(10**9)}
    response = await portal.app.answer("create_file", request("POST", headers=headers, client=client))
    assert (response.status_code, client.taken) == (413, 0)


async def test_a_form_whose_file_must_go_over_the_quota_is_refused_before_the_file_is_read() -> None:
    portal = Portal()
    intake = Intake(
        portal.blobs,
        portal.tables,
        MemoryClock(forge.NOW),
        max_file_bytes=10**6,
        quota=Quota(portal.tables, QuotaPolicy(max_bytes=100_000)),
    )
    routes = OneRequest(intake, portal.app.requests)
    for length_bytes, code in ((300_000, "quota-exceeded"), (200_000, "upload-incomplete")):
        headers = {"content-type": FORM, "content-length": str(length_bytes)}
        response = await answer(routes.create_file, "POST", form(b"the beginning")[:-20], headers=headers)
        assert code_of(response) == code


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_a_form_that_is_cut_off_is_incomplete(hangs_up: bool) -> None:
    portal, body = Portal(), form(b"hello")
    response = await portal.upload(
        body[:-12], hangs_up=hangs_up, content_type=FORM, content_length=str(len(body))
    )
    assert (response.status_code, code_of(response)) == (400, "upload-incomplete")
    assert is_empty(portal)


# -- digests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["content_digest", "repr_digest"])
@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
async def test_bytes_with_the_announced_digest_are_taken_and_others_leave_nothing(
    field: str, algorithm: str
) -> None:
    portal = Portal()
    announced: dict[str, Any] = {field: digest(b"hello", algorithm)}
    response = await portal.upload(b"hallo", **announced)
    assert (response.status_code, code_of(response)) == (422, "digest-mismatch")
    assert is_empty(portal)
    response = await portal.upload(b"hel", b"lo", **announced)
    assert response.status_code == 201
    assert response.headers["repr-digest"] == digest(b"hello")


async def test_every_announced_digest_counts() -> None:
    both = f"{digest(b'hello')}, {digest(b'hallo', 'sha-512')}"
    assert (await Portal().upload(b"hello", content_digest=both)).status_code == 422
    fields: dict[str, Any] = {"content_digest": digest(b"hello"), "repr_digest": digest(b"hallo")}
    assert (await Portal().upload(b"hello", **fields)).status_code == 422


@pytest.mark.parametrize(
    ("of_body", "of_file", "status"),
    [(form(b"hello"), b"hello", 201), (b"hello", b"hello", 422), (form(b"hello"), form(b"hello"), 422)],
)
async def test_of_a_form_the_content_digest_is_the_bodys_and_the_repr_digest_the_files(
    of_body: bytes, of_file: bytes, status: int
) -> None:
    portal = Portal()
    fields: dict[str, Any] = {"content_digest": digest(of_body), "repr_digest": digest(of_file)}
    response = await portal.upload(form(b"hello"), content_type=FORM, **fields)
    assert response.status_code == status
    assert is_empty(portal) == (status != 201)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content_digest": "sha-256=nonsense"}, "invalid-digest"),
        ({"repr_digest": "md5=:aGk=:"}, "invalid-digest"),
        ({"idempotency_key": ""}, "invalid-idempotency-key"),
        ({"idempotency_key": "a b"}, "invalid-idempotency-key"),
        ({"idempotency_key": '"open'}, "invalid-idempotency-key"),
        ({"idempotency_key": '""'}, "invalid-idempotency-key"),
        ({"idempotency_key": "k" * 256}, "invalid-idempotency-key"),
        ({"idempotency_key": "\xe9"}, "invalid-idempotency-key"),
    ],
)
async def test_fields_that_cannot_be_read_are_refused_before_the_body(
    headers: dict[str, str], code: str
) -> None:
    portal, client = Portal(), Client((b"x",))
    named = bearer() | {name.replace("_", "-"): value for name, value in headers.items()}
    response = await portal.app.answer("create_file", request("POST", headers=named, client=client))
    assert (response.status_code, code_of(response), client.taken) == (400, code, 0)


async def test_content_that_is_not_what_it_is_called_leaves_nothing() -> None:
    portal = Portal()
    response = await portal.upload(b"%PDF-1.7\n\xff\0", content_type="image/png", idempotency_key="k")
    assert (response.status_code, code_of(response)) == (415, "content-type-mismatch")
    assert is_empty(portal)


# -- idempotency -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["k", '"k"', '  "k";draft=1'])
async def test_the_same_request_again_gets_the_same_answer_marked_as_a_replay(second: str) -> None:
    portal = Portal()
    first = await portal.upload(b"hello", idempotency_key="k")
    (name,) = portal.blobs.contents
    await portal.app.announce(name)  # the file goes on; the answer does not
    again = await portal.upload(b"hel", b"lo", idempotency_key=second)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.body) == (201, first.body)
    for field in ("location", "etag", "repr-digest"):
        assert again.headers[field] == first.headers[field]
    assert len(files_of(portal)) == len(portal.blobs.contents) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"parts": (b"hallo",)},
        {"parts": (b"hello!",)},
        {"content_disposition": "attachment; filename=b.txt"},
        {"content_type": "text/plain"},
    ],
)
async def test_the_key_of_another_request_is_refused(other: dict[str, Any]) -> None:
    portal = Portal()
    await portal.upload(b"hello", idempotency_key="k")
    parts = other.pop("parts", (b"hello",))
    response = await portal.upload(*parts, idempotency_key="k", **other)
    assert (response.status_code, code_of(response)) == (422, "idempotency-key-reused")
    assert len(files_of(portal)) == 1


async def test_another_size_is_refused_before_the_body_is_read() -> None:
    portal, client = Portal(), Client((b"hello!",))
    await portal.upload(b"hello", idempotency_key="k")
    headers = bearer() | {"idempotency-key": "k", "content-length": "6"}
    response = await portal.app.answer("create_file", request("POST", headers=headers, client=client))
    assert (code_of(response), client.taken) == ("idempotency-key-reused", 0)


async def test_a_replay_is_checked_like_the_request_itself() -> None:
    portal = Portal()
    await portal.upload(b"hello", idempotency_key="k")
    response = await portal.upload(b"hello", idempotency_key="k", content_digest=digest(b"hallo"))
    assert code_of(response) == "digest-mismatch"
    response = await portal.upload(b"hel", idempotency_key="k", content_length="5")
    assert code_of(response) == "upload-incomplete"


async def test_a_form_is_the_same_when_its_file_and_fields_are() -> None:
    portal = Portal()
    first = await portal.upload(form(b"hello"), content_type=FORM, idempotency_key="k")
    boundary = form(b"hello", fields={"submit": "Go"}).replace(b"edge", b"rim")
    again = await portal.upload(
        boundary, content_type="multipart/form-data; boundary=rim", idempotency_key="k"
    )
    other = await portal.upload(
        form(b"hello", fields={"labels": '{"a": "b"}'}), content_type=FORM, idempotency_key="k"
    )
    assert again.body == first.body
    assert code_of(other) == "idempotency-key-reused"


async def test_a_key_belongs_to_its_caller() -> None:
    portal = Portal()
    await portal.upload(b"hello", idempotency_key="k")
    headers = bearer(user=BOB) | {"idempotency-key": "k"}
    response = await portal.app.answer(
        "create_file", request("POST", headers=headers, client=Client((b"hello",)))
    )
    assert response.status_code == 201
    assert "idempotent-replayed" not in response.headers
    assert len(files_of(portal)) == 2


async def test_a_failed_request_gives_its_key_back() -> None:
    portal = Portal()
    assert (await portal.upload(b"hel", idempotency_key="k", content_length="5")).status_code == 400
    assert (await portal.upload(b"other", idempotency_key="k")).status_code == 201
    assert len(files_of(portal)) == 1


async def test_a_key_is_free_again_after_a_day_and_its_row_goes() -> None:
    clock = MemoryClock(forge.NOW)
    portal = Portal(clock=clock)
    await portal.upload(b"hello", idempotency_key="k")
    clock.advance(24 * 3600 + 1)
    await portal.app.sweep()
    assert not keys_of(portal)


@pytest.mark.parametrize("same", [True, False])
async def test_of_twenty_at_once_one_stores_and_the_others_wait_or_replay(same: bool) -> None:
    portal = Portal()
    answers = await asyncio.gather(
        *(portal.upload(b"hello" if same else b"%d" % n, idempotency_key="k") for n in range(20))
    )
    stored = [each for each in answers if each.status_code == 201 and not is_replay(each)]
    assert len(stored) == len(files_of(portal)) == len(portal.blobs.contents) == 1
    others = [each for each in answers if each is not stored[0]]
    for each in others:
        assert is_replay(each) or code_of(each) in {"request-in-progress", "idempotency-key-reused"}
        assert each.status_code != 409 or int(each.headers["retry-after"]) > 0


def is_replay(response: Any) -> bool:
    return bool(response.status_code == 201 and response.headers.get("idempotent-replayed") == "true")


class StallingBlobs(MemoryBlobs):
    """Stops before the bytes of the first request become a blob, until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def create(
        self,
        name: str,
        content: AsyncIterator[bytes],
        *,
        content_type: str,
        metadata: Callable[[], Mapping[str, str]],
    ) -> BlobProperties:
        whole = [chunk async for chunk in content]

        async def read() -> AsyncIterator[bytes]:
            for chunk in whole:
                yield chunk

        if not self.reached.is_set():
            self.reached.set()
            await self.go_on.wait()
        return await super().create(name, read(), content_type=content_type, metadata=metadata)


@pytest.mark.parametrize("second", [b"hello", b"other"])
async def test_a_request_that_was_overtaken_adds_no_second_file(second: bytes) -> None:
    clock, blobs = MemoryClock(forge.NOW), StallingBlobs()
    portal = Portal(clock=clock, blobs=blobs)
    slow = asyncio.create_task(portal.upload(b"hello", idempotency_key="k"))
    await blobs.reached.wait()
    assert code_of(await portal.upload(second, idempotency_key="k")) == "request-in-progress"
    clock.advance(300)
    quick = await portal.upload(second, idempotency_key="k")
    blobs.go_on.set()
    late = await slow
    assert quick.status_code == 201
    if second == b"hello":
        assert (late.status_code, late.body, is_replay(late)) == (201, quick.body, True)
    else:
        assert code_of(late) == "idempotency-key-reused"
    assert list(blobs.contents.values()) == [second]
    assert len(files_of(portal)) == 1


class BreakingTables(MemoryTables):
    """Answers so many writes of file rows with a failure: before it is made, or after."""

    def __init__(self, failures: int, *, carried_out: bool, for_good: bool = False) -> None:
        super().__init__()
        self._failures = failures
        self._carried_out = carried_out
        self._for_good = for_good
        self.is_broken = False

    async def apply(self, changes: Sequence[Change]) -> Sequence[str]:
        if self._failures and any(change.entity.row_key.startswith("file|") for change in changes):
            self._failures -= 1
            self.is_broken = self._for_good
            if self._carried_out:
                await super().apply(changes)
            raise UnavailableError("no answer")
        if self.is_broken:
            raise UnavailableError("no answer")
        return await super().apply(changes)


@pytest.mark.parametrize("dies", [True, False])
@pytest.mark.parametrize("trigger", [True, False])
@pytest.mark.parametrize("carried_out", [True, False])
async def test_a_crash_between_blob_and_row_ends_in_one_file(
    carried_out: bool, trigger: bool, dies: bool
) -> None:
    """``dies``: not even the key could be let go of, so the next try has to wait for the end of the lease."""
    clock = MemoryClock(forge.NOW)
    tables = BreakingTables(1, carried_out=carried_out, for_good=dies)
    portal = Portal(clock=clock, tables=tables)
    portal.tables = tables
    assert (await portal.upload(b"hello", idempotency_key="k")).status_code == 503
    tables.is_broken = False
    if trigger:
        (name,) = portal.blobs.contents
        await portal.app.announce(name)
    if dies and not carried_out:
        assert code_of(await portal.upload(b"hello", idempotency_key="k")) == "request-in-progress"
        clock.advance(300)
    again = await portal.upload(b"hello", idempotency_key="k")
    assert (again.status_code, is_replay(again)) == (201, True), body_of(again)
    assert len(files_of(portal)) == len(portal.blobs.contents) == 1
    once_more = await portal.upload(b"hello", idempotency_key="k")
    assert once_more.body == again.body


async def test_after_a_crash_the_key_still_stands_for_the_first_bytes() -> None:
    tables = BreakingTables(1, carried_out=False)
    portal = Portal(tables=tables)
    portal.tables = tables
    await portal.upload(b"hello", idempotency_key="k")
    assert code_of(await portal.upload(b"other", idempotency_key="k")) == "idempotency-key-reused"
    assert is_replay(await portal.upload(b"hello", idempotency_key="k"))
