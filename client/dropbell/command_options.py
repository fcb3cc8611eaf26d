"""The grammar of the command line: commands and their options."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dropbell import commands, file_commands, share_commands, smoke_command
from dropbell.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATUSES = ("receiving", "stored", "announced", "settled", "rejected", "deleted")


def option_parser() -> argparse.ArgumentParser:
    """Make the parser; what a command runs is its ``run``."""
    everywhere = _global_options()
    parser = argparse.ArgumentParser(
        prog="dropbell",
        description="Drop a file, ring the bell.",
        epilog="Exit codes: " + ", ".join(f"{code.value} {code.meaning}" for code in ExitCode) + ". "
        "A service signs in by DROPBELL_CLIENT_SECRET, DROPBELL_CLIENT_CERTIFICATE (a PEM file) or "
        "DROPBELL_CLIENT_ASSERTION_FILE.",
        parents=[everywhere],
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[commands.Context], Iterator[commands.Result]]
    ) -> argparse.ArgumentParser:
        about = (run.__doc__ or "").rstrip(".")
        added = actions.add_parser(
            name, help=about, description=about, parents=[everywhere], allow_abbrev=False
        )
        added.set_defaults(run=run)
        return added

    login = command("login", commands.log_in)
    login.add_argument(
        "--browser",
        action="store_true",
        help="use this machine's browser at once, instead of a code to type in",
    )
    command("whoami", commands.who_am_i)
    command("logout", commands.log_out)
    command("token", commands.token)
    _add_put_options(command("put", file_commands.put))
    _add_ls_options(command("ls", file_commands.list_files))
    show = command("show", file_commands.show)
    show.add_argument("id", metavar="ID", help="the file's id")
    show.add_argument("--deliveries", action="store_true", help="also list who was told about it")
    _add_get_options(command("get", file_commands.get))
    _add_edit_options(command("edit", file_commands.edit))
    remove = command("rm", file_commands.remove)
    remove.add_argument("ids", nargs="+", metavar="ID", help="a file's id")
    remove.add_argument("--purge", action="store_true", help="remove the bytes at once")
    remove.add_argument(
        "--if-unchanged",
        action="store_true",
        help="not if it is changed between a look at it and the deletion",
    )
    share = command("share", share_commands.share)
    share.add_argument("id", metavar="ID", help="the file's id")
    share.add_argument("--for", dest="lifetime", default="24h", help="30m, 24h (the default), 7d")
    shares = command("shares", share_commands.shares)
    shares.add_argument("id", metavar="ID", help="the file's id")
    unshare = command("unshare", share_commands.unshare)
    unshare.add_argument("id", metavar="ID", help="the file's id")
    unshare.add_argument("link", metavar="LINK", help="the link's id, as `shares` lists it")
    subscribe = command("subscribe", commands.subscribe)
    subscribe.add_argument("--channel", required=True, choices=("webhook", "email", "chat"))
    subscribe.add_argument("--target", required=True, help="the URL or address to tell")
    subscribe.add_argument(
        "--event", action="append", dest="events", help="file.stored (the default); may repeat"
    )
    subscription = command("subscription", commands.subscription)
    subscription.add_argument("id", metavar="ID", help="the subscription's id")
    _add_smoke_options(command("smoke", smoke_command.smoke))
    return parser


def _add_put_options(put: argparse.ArgumentParser) -> None:
    put.add_argument("files", nargs="+", metavar="FILE", help="a file to upload; - is standard input")
    put.add_argument("--name", help="what to call it (one file only)")
    put.add_argument("--content-type", help="its media type; without it, guessed from the name")
    way = put.add_mutually_exclusive_group()
    way.add_argument(
        "--resumable",
        action=argparse.BooleanOptionalAction,
        help="in parts that can be resumed, or in one request (by default, parts above 32 MiB)",
    )
    way.add_argument("--direct", action="store_true", help="straight into the storage")


def _add_ls_options(ls: argparse.ArgumentParser) -> None:
    ls.add_argument("--status", choices=STATUSES, help="only these; without it, those that can be used")
    ls.add_argument("--type", dest="content_type", metavar="TYPE", help="only this media type")
    ls.add_argument("--prefix", dest="name_prefix", metavar="TEXT", help="only names that begin so")
    ls.add_argument("--since", metavar="TIME", help="only from then on: 2026-01-02, a full time, or 7d ago")
    ls.add_argument("--until", metavar="TIME", help="only before then")
    ls.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (50)")
    ls.add_argument("--all", action="store_true", help="all of them")


def _add_get_options(get: argparse.ArgumentParser) -> None:
    get.add_argument("id", metavar="ID", help="the file's id")
    get.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="a file, a directory, or - for standard output; else its own name",
    )
    get.add_argument("--force", action="store_true", help="replace what is there")
    get.add_argument(
        "--range", metavar="RANGE", help="only some bytes: 0-99, 100- or -100 for the last; not verified"
    )


def _add_edit_options(edit: argparse.ArgumentParser) -> None:
    edit.add_argument("id", metavar="ID", help="the file's id")
    edit.add_argument("--name", help="call it so")
    edit.add_argument(
        "--label", action="append", default=[], dest="labels", metavar="K=V", help="set a label; may repeat"
    )
    edit.add_argument(
        "--remove-label", action="append", default=[], dest="removed_labels", metavar="K", help="may repeat"
    )
    edit.add_argument("--expires-at", metavar="TIME", help="a time, 7d from now, or never")


def _add_smoke_options(smoke: argparse.ArgumentParser) -> None:
    smoke.add_argument("--target", help="who is to be told; without it, nobody, and no delivery is tried")
    smoke.add_argument("--channel", choices=("webhook", "chat"), default="webhook", help="what TARGET is")
    smoke.add_argument("--release", metavar="COMMIT", help="wait until the service says that it is this one")
    smoke.add_argument(
        "--timeout", type=_count, default=300, metavar="SECONDS", help="give up after so long (300)"
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _global_options() -> argparse.ArgumentParser:
    """Options for before or after the command; absent in one place, they must not undo the other."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group("service and sign-in")
    group.add_argument("--api", metavar="URL", help="the service (DROPBELL_API)")
    group.add_argument("--authority", metavar="URL", help="who signs you in (DROPBELL_AUTHORITY)")
    group.add_argument("--client-id", metavar="ID", help="this program's id there (DROPBELL_CLIENT_ID)")
    group.add_argument(
        "--scope",
        action="append",
        dest="scopes",
        help="a permission to ask for; may repeat (DROPBELL_SCOPES)",
    )
    group.add_argument("--ca-file", metavar="FILE", help="certificates to trust, PEM (DROPBELL_CA_FILE)")
    group.add_argument("--token", help="use this token; other users see it here, not in DROPBELL_TOKEN")
    group.add_argument("--owner", metavar="TENANT/OBJECT", help="whom an app acts for (DROPBELL_OWNER)")
    group.add_argument(
        "--proxy-from-environment", action="store_true", dest="trust_env", help="use HTTPS_PROXY and its like"
    )
    group.add_argument("--json", action="store_true", help="print JSON only, one object a line")
    return parser
