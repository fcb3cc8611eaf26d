"""The commands for files."""

from __future__ import annotations

import itertools
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropbell.command_access import open_connection
from dropbell.commands import Result
from dropbell.errors import InputError
from dropbell.file_name import safe_file_name
from dropbell.moments import parse_future, parse_past
from dropbell.progress import show_progress
from dropbell.settings import cache_directory

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from dropbell.body import OnProgress
    from dropbell.commands import Context
    from dropbell.file import File
    from dropbell.files import Way

_STANDARD_STREAM = "-"
_ROW = "{:<36}  {:<9}  {:>10}  {:<16}  {}"
_UNIT_STEP = 1024


def put(context: Context) -> Iterator[Result]:
    """Upload files, in the given order; the first refusal ends it."""
    from dropbell import files
    from dropbell.answers import to_json
    from dropbell.journal import Journal

    options = context.options
    if options.name and len(options.files) > 1:
        raise InputError("--name fits one file only.")
    for path in options.files:
        if path != _STANDARD_STREAM:
            files.check_readable(path)
        elif not options.name:
            raise InputError("Standard input needs a --name.")
    journal = Journal(cache_directory(context.environment) / "uploads")
    with open_connection(context) as connection:
        for path in options.files:
            source = sys.stdin.buffer if path == _STANDARD_STREAM else path
            with _progress(context, options.name or path) as on_progress:
                file = files.upload(
                    connection,
                    source,
                    options.name,
                    options.content_type,
                    on_progress,
                    way=_way(options),
                    journal=journal,
                )
            yield Result(to_json(file), f"{file.id}  {file.status}  {file.size_bytes} bytes  {file.name}")


def list_files(context: Context) -> Iterator[Result]:
    """List files, newest first."""
    from dropbell import files
    from dropbell.answers import to_json

    options = context.options
    now = datetime.now(UTC)
    which = files.Filter(
        options.status,
        options.content_type,
        options.name_prefix,
        parse_past(options.since, now) if options.since else None,
        parse_past(options.until, now) if options.until else None,
    )
    limit = None if options.all else options.limit
    with open_connection(context) as connection:
        found = files.find(connection, which, None if limit is None else limit + 1)
        shown = itertools.islice(found, limit)
        first = list(itertools.islice(shown, 1))  # a refusal comes before the table's head
        yield Result(None, _ROW.format("ID", "STATUS", "SIZE", "CREATED (UTC)", "NAME"))
        for file in itertools.chain(first, shown):
            yield Result(to_json(file), _row(file))
        if next(found, None) is not None:
            context.tell(f"These are the newest {limit}; there are more: --limit N or --all.")


def show(context: Context) -> Iterator[Result]:
    """Look at one file and, if asked, at its deliveries."""
    from dropbell import files
    from dropbell.answers import to_json

    with open_connection(context) as connection:
        file = files.show(connection, context.options.id)
        found = to_json(file)
        lines = _lines(file)
        if context.options.deliveries:
            deliveries = list(files.deliveries(connection, file.id))
            found["deliveries"] = [to_json(delivery) for delivery in deliveries]
            lines += [
                f"delivery {each.id}: {each.status}, {len(each.attempts)} attempts"
                + (f", {each.reason}" if each.reason else "")
                for each in deliveries
            ]
        yield Result(found, "\n".join(lines))


def get(context: Context) -> Iterator[Result]:
    """Download a file; what exists is not overwritten."""
    from dropbell import files

    options = context.options
    if options.range is not None:
        yield from _get_range(context)
        return
    with open_connection(context) as connection:
        file = files.show(connection, options.id)
        to_standard_output = options.output == _STANDARD_STREAM
        target = sys.stdout.buffer if to_standard_output else download_target(options.output, file)
        with _progress(context, file.name) as on_progress:
            files.download(connection, file, target, overwrite=options.force, on_progress=on_progress)
    if to_standard_output:
        sys.stdout.buffer.flush()
        return
    done = {"id": file.id, "path": str(target), "size_bytes": file.size_bytes, "sha256": file.sha256}
    yield Result(done, f"{target}  {file.size_bytes} bytes  SHA-256 verified")


def edit(context: Context) -> Iterator[Result]:
    """Change a file's name, labels or end, unless somebody else changes it meanwhile."""
    from dropbell import files
    from dropbell.answers import to_json

    options = context.options
    patch = merge_patch(options, datetime.now(UTC))
    with open_connection(context) as connection:
        file = files.edit(connection, files.show(connection, options.id), patch)
    yield Result(to_json(file), "\n".join(_lines(file)))


def remove(context: Context) -> Iterator[Result]:
    """Delete files, in the given order; the first refusal ends it."""
    from dropbell import files

    options = context.options
    with open_connection(context) as connection:
        for file_id in options.ids:
            seen = files.show(connection, file_id) if options.if_unchanged else None
            files.delete(connection, file_id, purge=options.purge, unchanged_since=seen)
            yield Result(
                {"id": file_id, "deleted": True, "purged": options.purge},
                f"{file_id}  {'purged' if options.purge else 'deleted'}",
            )


def download_target(output: str | None, file: File) -> Path:
    """Return where a download goes: the path given, or under the file's name, made safe, in a directory."""
    given = Path(output) if output else Path()
    return given / safe_file_name(file.name, file.id) if given.is_dir() else given


def merge_patch(options: argparse.Namespace, now: datetime) -> dict[str, Any]:
    """Write what ``edit`` was asked for as a merge patch (RFC 7396).

    Raises:
        InputError: It says nothing, or contradicts itself.
    """
    from dropbell.answers import to_json

    patch: dict[str, Any] = {} if options.name is None else {"name": options.name}
    labels: dict[str, str | None] = _labels(options.labels)
    for name in options.removed_labels:
        if name in labels:
            raise InputError(f"The label {name!r} cannot be set and removed at once.")
        labels[name] = None
    if labels:
        patch["labels"] = labels
    if options.expires_at is not None:
        never = options.expires_at == "never"
        patch["expires_at"] = None if never else to_json(parse_future(options.expires_at, now))
    if not patch:
        raise InputError("Say what to change: --name, --label, --remove-label or --expires-at.")
    return patch


def readable_size(size_bytes: int) -> str:
    """Write a size in the unit that leaves at most four digits before the point."""
    if size_bytes < _UNIT_STEP:
        return f"{size_bytes} B"
    size, unit = size_bytes / _UNIT_STEP, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if size < _UNIT_STEP:
            break
        size, unit = size / _UNIT_STEP, larger
    return f"{size:.1f} {unit}"


def _get_range(context: Context) -> Iterator[Result]:
    from dropbell.download import download_range
    from dropbell.new_file import new_file

    options = context.options
    if options.output is None:
        raise InputError("--range needs -o FILE or -o -: a part is not the file and does not get its name.")
    with open_connection(context) as connection:
        chunks = download_range(connection, options.id, options.range)
        if options.output == _STANDARD_STREAM:
            sys.stdout.buffer.writelines(chunks)
            sys.stdout.buffer.flush()
            return
        target = Path(options.output)
        with new_file(target, overwrite=options.force) as stream:
            stream.writelines(chunks)
            size_bytes = stream.tell()
    done = {"id": options.id, "path": str(target), "size_bytes": size_bytes}
    yield Result(done, f"{target}  {size_bytes} bytes  a part, not verified")


def _labels(pairs: Sequence[str]) -> dict[str, str | None]:
    labels: dict[str, str | None] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise InputError(f"{pair!r} is not a label such as project=apollo.")
        labels[name] = value
    return labels


def _lines(file: File) -> list[str]:
    from dropbell.answers import to_json

    facts = {name: value for name, value in to_json(file).items() if name not in file.extra} | dict(
        file.extra
    )
    return [f"{name}: {value}" for name, value in facts.items() if value not in (None, {}, [])]


def _progress(context: Context, name: str) -> AbstractContextManager[OnProgress | None]:
    return nullcontext() if context.options.json else show_progress(name, environment=context.environment)


def _row(file: File) -> str:
    created = file.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if file.created_at else ""
    name = file.name.replace("\n", "\N{REPLACEMENT CHARACTER}")
    return _ROW.format(file.id, file.status, readable_size(file.size_bytes), created, name)


def _way(options: argparse.Namespace) -> Way | None:
    from dropbell.files import Way

    if options.direct:
        return Way.DIRECT
    if options.resumable is None:
        return None
    return Way.RESUMABLE if options.resumable else Way.ONE_REQUEST
