"""The commands for share links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dropbell.command_access import open_connection
from dropbell.commands import Result
from dropbell.moments import parse_span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dropbell.commands import Context


def share(context: Context) -> Iterator[Result]:
    """Make a link by which anybody can download a file for a while."""
    from dropbell import share_links
    from dropbell.answers import to_json

    lifetime = parse_span(context.options.lifetime)
    with open_connection(context) as connection:
        link = share_links.share(connection, context.options.id, lifetime)
    context.tell(f"Link {link.id}, until {to_json(link.expires_at)}; whoever has it can download the file.")
    yield Result(to_json(link), link.url)


def shares(context: Context) -> Iterator[Result]:
    """List a file's share links."""
    from dropbell import share_links
    from dropbell.answers import to_json

    with open_connection(context) as connection:
        for link in share_links.shares(connection, context.options.id):
            found = to_json(link)
            yield Result(found, f"{link.id}  until {found['expires_at']}  {link.url or ''}".rstrip())


def unshare(context: Context) -> Iterator[Result]:
    """Revoke a share link at once."""
    from dropbell import share_links

    options = context.options
    with open_connection(context) as connection:
        share_links.unshare(connection, options.id, options.link)
    yield Result({"id": options.link, "file_id": options.id, "revoked": True}, f"{options.link}  revoked")
