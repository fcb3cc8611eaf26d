"""Files that appear whole or not at all: written beside their place, then put there in one step."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dropbell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def new_file(target: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Give a stream to write; when the context ends well it is ``target``, otherwise nothing is left.

    Args:
        target: A path; its directory holds the temporary file meanwhile.
        overwrite: Replace what is there.

    Raises:
        InputError: The target exists, or cannot be written.
    """
    try:
        occupied = os.path.lexists(target)
    except ValueError as error:
        raise InputError(f"{str(target)!r} is not a path: {error}.") from error
    if occupied and not overwrite:
        raise _exists(target)
    with _writing(target):
        descriptor, name = tempfile.mkstemp(prefix=".dropbell-", suffix=".part", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as stream, _writing(target):
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        with _writing(target):
            _put_in_place(temporary, target, overwrite=overwrite)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _put_in_place(temporary: Path, target: Path, *, overwrite: bool) -> None:
    temporary.chmod(0o666 & ~_umask())
    if overwrite:
        temporary.replace(target)
        return
    try:
        target.hardlink_to(temporary)  # fails when somebody else has made the target meanwhile
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise _exists(target) from None
        temporary.rename(target)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror or error}.") from error


def _umask() -> int:
    mask = os.umask(0)  # it can only be read by setting it
    os.umask(mask)
    return mask


def _exists(target: Path) -> InputError:
    return InputError(f"{target} exists; use --force to replace it.")
