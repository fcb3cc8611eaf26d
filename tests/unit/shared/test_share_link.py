from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import GoneError, InvalidRequestError, NotFoundError, TooManyError
from shared.files import share_link
from shared.files.file import FileStatus
from shared.files.share_link import MAX_LINKS, ShareLink
from shared.ledger.signed_token import Signer
from shared.ports import Insert
from tests.unit.shared import sample
from tests.unit.web.shelf import KEY, Shelf

HOUR = timedelta(hours=1)


async def linked() -> tuple[Shelf, ShareLink, str]:
    shelf = Shelf()
    await shelf.put()
    link = await shelf.sharing.create(sample.OWNER, sample.FILE_ID, expires_in=HOUR)
    return shelf, link, shelf.sharing.token(link)


async def test_a_link_leads_to_its_file_until_it_expires() -> None:
    shelf, link, token = await linked()
    assert link.expires_at == sample.NOW + HOUR
    assert (await shelf.sharing.follow(token)).id == sample.FILE_ID
    shelf.clock.advance(HOUR.total_seconds())
    with pytest.raises(GoneError):
        await shelf.sharing.follow(token)


async def test_a_link_holds_for_a_day_unless_said_otherwise() -> None:
    shelf = Shelf()
    await shelf.put()
    link = await shelf.sharing.create(sample.OWNER, sample.FILE_ID)
    assert link.expires_at == sample.NOW + timedelta(days=1)


async def test_a_link_survives_its_row() -> None:
    shelf, link, _ = await linked()
    entity = await shelf.memory.get(sample.OWNER, share_link.row_key(link.file_id, link.id))
    assert entity is not None
    read = share_link.from_entity(entity)
    assert share_link.to_entity(read) == entity
    assert read.holds(sample.NOW)


async def test_a_revoked_link_leads_nowhere_and_the_others_still_do() -> None:
    shelf, link, token = await linked()
    other = await shelf.sharing.create(sample.OWNER, sample.FILE_ID)
    for _ in range(2):
        await shelf.sharing.revoke(sample.OWNER, sample.FILE_ID, link.id)
    with pytest.raises(GoneError):
        await shelf.sharing.follow(token)
    assert (await shelf.sharing.follow(shelf.sharing.token(other))).id == sample.FILE_ID


@pytest.mark.parametrize("status", [FileStatus.DELETED, FileStatus.REJECTED])
async def test_a_link_holds_no_longer_than_its_file(status: FileStatus) -> None:
    shelf = Shelf()
    await shelf.put(status=status)
    link = ShareLink("0" * 32, sample.OWNER, sample.FILE_ID, sample.NOW, sample.NOW + HOUR)
    await shelf.memory.apply([Insert(share_link.to_entity(link))])
    with pytest.raises(GoneError):
        await shelf.sharing.follow(shelf.sharing.token(link))


async def test_a_link_whose_row_is_gone_was_still_one_of_ours() -> None:
    shelf, link, token = await linked()
    await shelf.removal.delete(sample.OWNER, link.file_id, wanted=lambda _file: True, purge=True)
    with pytest.raises(GoneError):
        await shelf.sharing.follow(token)


async def test_a_token_that_was_not_made_here_is_not_looked_up() -> None:
    shelf, link, token = await linked()
    middle = len(token) // 2
    changed = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    other_purpose = Signer(KEY, "file-list").sign(b"x" * 48)
    other_key = Signer(b"o" * 32, "share-link").sign(b"x" * 48)
    short = Signer(KEY, "share-link").sign(b"x")
    for made_up in (
        "",
        "x",
        "é",
        "../..",
        changed,
        token[:-4],
        token + "AAAA",
        token * 9,
        other_purpose,
        other_key,
        short,
    ):
        with pytest.raises(NotFoundError):
            await shelf.sharing.follow(made_up)
    assert link.id not in token


@pytest.mark.parametrize("expires_in", [timedelta(0), -HOUR, timedelta(days=30, seconds=1)], ids=str)
async def test_a_link_expires_within_thirty_days(expires_in: timedelta) -> None:
    shelf = Shelf()
    await shelf.put()
    with pytest.raises(InvalidRequestError, match="expires_at"):
        await shelf.sharing.create(sample.OWNER, sample.FILE_ID, expires_at=sample.NOW + expires_in)


async def test_links_that_hold_are_limited_and_the_others_make_room() -> None:
    shelf = Shelf()
    await shelf.put()
    made = [await shelf.sharing.create(sample.OWNER, sample.FILE_ID) for _ in range(MAX_LINKS)]
    with pytest.raises(TooManyError):
        await shelf.sharing.create(sample.OWNER, sample.FILE_ID)
    await shelf.sharing.revoke(sample.OWNER, sample.FILE_ID, made[3].id)
    latest = await shelf.sharing.create(sample.OWNER, sample.FILE_ID)
    known = {link.id for link in await shelf.sharing.links_of(sample.OWNER, sample.FILE_ID)}
    assert known == {link.id for link in made} - {made[3].id} | {latest.id}


@pytest.mark.parametrize("link_id", ["0" * 32, "x", "a/b", "|", ""])
async def test_a_link_that_is_not_there_cannot_be_revoked(link_id: str) -> None:
    shelf, _, _ = await linked()
    with pytest.raises(NotFoundError):
        await shelf.sharing.revoke(sample.OWNER, sample.FILE_ID, link_id)
