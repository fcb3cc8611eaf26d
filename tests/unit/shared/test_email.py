from __future__ import annotations

import email
import email.policy
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.memory import MemoryClock, MemoryMail, MemoryTables
from shared.errors import MailRefusedError, TargetFailedError
from shared.ledger.signed_token import Signer
from shared.notifications.channels import Fault, Notification, Outcome, Verdict
from shared.notifications.channels.announcement import announcement_of, size_in_words
from shared.notifications.channels.email import MAX_MAIL_BYTES, EmailChannel, MailBusyError
from shared.notifications.message import file_event
from shared.notifications.subscription import ChannelKind, EventType
from shared.notifications.unsubscribing import Unsubscribing
from tests.unit.shared import sample

if TYPE_CHECKING:
    from email.message import EmailMessage

SPAN = f"00-{'a' * 32}-{'c' * 16}-01"
ADDRESS = "someone@example.com"
CLOCK = MemoryClock(sample.NOW)
UNSUBSCRIBING = Unsubscribing(MemoryTables(), CLOCK, Signer(b"k" * 32, "unsubscribe"))


def notification(*, address: str = ADDRESS, event: Any = None, **file: Any) -> Notification:
    subscription = sample.subscription(channel=ChannelKind.EMAIL, target=address)
    told = event or file_event(sample.file(**file), EventType.FILE_STORED, source=sample.PUBLIC_URL)
    return Notification(sample.delivery().id, subscription, told, "correlation-1", SPAN)


def channel(mail: MemoryMail) -> EmailChannel:
    return EmailChannel(
        mail, UNSUBSCRIBING, CLOCK, sender_address="bell@dropbell.example", public_url=sample.PUBLIC_URL
    )


async def deliver(mail: MemoryMail, **changes: Any) -> Outcome:
    return await channel(mail).deliver(notification(**changes), timeout_seconds=7)


def received(**changes: Any) -> EmailMessage:
    """The mail as its reader's program has it."""
    raw = channel(MemoryMail()).mail_for(notification(**changes)).as_bytes()
    return email.message_from_bytes(raw, policy=email.policy.default)


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "address", ["", "nobody", "a@example.com\r\nBcc: b@example.com", "A <a@example.com>"]
)
async def test_a_target_that_is_no_address_is_rejected_and_nothing_is_sent(address: str) -> None:
    mail = MemoryMail()
    outcome = await deliver(mail, address=address)
    assert outcome.verdict is Verdict.REJECTED
    assert not mail.mails


@pytest.mark.parametrize(
    "name",
    [
        "a\r\nBcc: other@example.com\r\n\r\nbody",
        "a\nb",
        "a\x00b\x1b[31m",
        "a\u2028b\u2029c\x85d\x0b\x0c",
        "\ud800 alone",
        "harmless\u202efdp.exe",
        "=?utf-8?q?=0d=0aBcc:_x?=",
        "x" * 10_000,
        "é" * 10_000,
        "😀" * 255,
    ],
)
def test_a_name_can_add_no_header_field_and_no_bytes_without_end(name: str) -> None:
    plain, mail = received(), received(name=name)
    assert mail.keys() == plain.keys()
    assert mail["To"] == ADDRESS
    assert not mail.defects
    raw = mail.as_bytes(policy=email.policy.SMTP)
    assert len(raw) < 20_000 < MAX_MAIL_BYTES
    assert "\u202e" not in str(mail["Subject"]) + body(mail, "plain") + body(mail, "html")


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "</title></td><img src=https://evil.example/x.png>",
        "\"><a href='https://evil.example'>click</a>",
        "&lt;b&gt;",
    ],
)
def test_a_name_is_text_in_the_html(name: str) -> None:
    html = Tags(body(received(name=name), "html"))
    assert html.names == Tags(body(received(), "html")).names
    assert name in html.text


def test_nothing_is_loaded_by_looking_at_the_mail() -> None:
    html = Tags(body(received(), "html"))
    assert not {"img", "link", "script", "style", "iframe"} & set(html.names)
    assert "src" not in dict(html.attributes)


def test_the_mail_says_what_happened_in_text_and_in_html() -> None:
    mail = received()
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail["Subject"] == "File stored: résumé.pdf"
    assert mail["From"] == "Dropbell <bell@dropbell.example>"
    url = f"{sample.PUBLIC_URL}/api/v1/files/{sample.FILE_ID}"
    for kind in ("plain", "html"):
        text = body(mail, kind)
        assert all(word in text for word in ("résumé.pdf", "5 bytes", "application/pdf", url))


def test_the_mail_is_seven_bit_with_lines_that_every_server_takes() -> None:
    raw = channel(MemoryMail()).mail_for(notification(name="résumé " * 12)).as_bytes()
    assert raw.isascii()
    lines = raw.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert not any(b"\n" in line or b"\r" in line for line in lines)


def test_the_links_to_unsubscribe_are_there_for_programs_and_people_unfolded() -> None:
    mail = received()
    url = f"{sample.PUBLIC_URL}/api/v1/unsubscribe/{UNSUBSCRIBING.token(sample.subscription())}"
    assert mail["List-Unsubscribe"] == f"<{url}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    raw = channel(MemoryMail()).mail_for(notification()).as_bytes()
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in raw
    assert url in body(mail, "plain")
    assert ("href", url) in Tags(body(mail, "html")).attributes


def test_every_attempt_is_the_same_message_to_its_receiver_and_no_robot_answers() -> None:
    first, second = received(), received()
    assert first["Message-ID"] == second["Message-ID"] == f"<{sample.delivery().id}@dropbell.example>"
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["X-Correlation-ID"] == "correlation-1"
    assert first["Date"].datetime == sample.NOW


@pytest.mark.parametrize(
    ("event_type", "subject", "has_link"),
    [
        (EventType.FILE_STORED, "File stored: résumé.pdf", True),
        (EventType.FILE_UPDATED, "File changed: résumé.pdf", True),
        (EventType.FILE_DELETED, "File deleted: résumé.pdf", False),
        (EventType.FILE_REJECTED, "File rejected: résumé.pdf", True),
        (EventType.UPLOAD_EXPIRED, "Upload expired: résumé.pdf", False),
    ],
)
def test_each_event_has_its_words(event_type: EventType, subject: str, has_link: bool) -> None:
    mail = received(event=file_event(sample.file(), event_type, source=sample.PUBLIC_URL))
    assert mail["Subject"] == subject
    assert ("/api/v1/files/" in body(mail, "plain")) is has_link


def test_an_event_without_a_file_is_announced_all_the_same() -> None:
    stored = sample.message().event
    told = {"message": "This is a test; no file is behind it."}
    event = stored.model_copy(update={"type": "dropbell.subscription.test.v1", "data": told})
    mail = received(event=event)
    assert mail["Subject"] == "Test message"
    assert told["message"] in body(mail, "plain")
    unknown = stored.model_copy(update={"type": "dropbell.else.v9", "data": {"file": "no object"}})
    assert received(event=unknown)["Subject"] == "News"


def test_a_link_to_elsewhere_is_left_out() -> None:
    event = sample.message().event
    for url in (
        "https://evil.example/api/v1/files/1",
        f"{sample.PUBLIC_URL}.evil.example/",
        f"{sample.PUBLIC_URL}/a\r\nb",
        5,
    ):
        assert announcement_of(event.model_copy(update={"data": {"file": {"url": url}}})).url is None


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (1_550_000, "1.6 MB")],
)
def test_sizes_are_told_in_words(size_bytes: int, words: str) -> None:
    assert size_in_words(size_bytes) == words


async def test_a_mail_that_is_taken_is_delivered() -> None:
    mail = MemoryMail()
    outcome = await deliver(mail)
    assert outcome.verdict is Verdict.DELIVERED
    assert mail.timeouts_seconds == [7]
    assert [str(sent["To"]) for sent in mail.mails] == [ADDRESS]


@pytest.mark.parametrize(
    ("failure", "verdict", "fault", "retry_after_seconds"),
    [
        (MailRefusedError("no such user (550)"), Verdict.REJECTED, Fault.TARGET, None),
        (TargetFailedError("no answer"), Verdict.TRY_AGAIN, Fault.OURS, None),
        (MailBusyError("busy", retry_after_seconds=9), Verdict.TRY_AGAIN, Fault.OURS, 9),
    ],
)
async def test_a_failure_is_the_readers_fault_only_when_their_address_was_refused(
    failure: Exception, verdict: Verdict, fault: Fault, retry_after_seconds: float | None
) -> None:
    outcome = await deliver(MemoryMail(failure))
    assert (outcome.verdict, outcome.whose_fault, outcome.detail) == (verdict, fault, str(failure))
    assert outcome.retry_after_seconds == retry_after_seconds
