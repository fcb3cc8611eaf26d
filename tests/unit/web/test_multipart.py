from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.errors import DropbellError, InvalidRequestError, UnsupportedMediaTypeError, UploadIncompleteError
from shared.web.multipart import MAX_FIELDS, MAX_FIELDS_BYTES, Form, open_form
from tests.unit.shared.sample import chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TYPE = "multipart/form-data; boundary=edge"
END = b"\r\n--edge--\r\n"


def part(disposition: str, *more: str) -> bytes:
    return "\r\n".join(["--edge", f"Content-Disposition: form-data; {disposition}", *more, "", ""]).encode()


def field(name: str, value: bytes) -> bytes:
    return part(f'name="{name}"') + value + b"\r\n"


FILE = part('name="f"; filename="a.txt"', "Content-Type: text/plain")


async def read(*parts: bytes, content_type: str = TYPE) -> tuple[Form, bytes]:
    form = await open_form(chunks(*parts), content_type)
    return form, b"".join([chunk async for chunk in form.content()])


@pytest.mark.parametrize("chunk_bytes", [1, 2, 7, 64, 10_000])
async def test_fields_and_file_come_out_however_the_form_is_cut(chunk_bytes: int) -> None:
    nearly_the_end = b"\r\n--edg\r\n-\r\n--edg\r\r\n--edge"[:-1] * 20
    whole = field("name", "Übersicht".encode()) + field("labels", b"{}") + FILE + nearly_the_end + END
    pieces = [whole[at : at + chunk_bytes] for at in range(0, len(whole), chunk_bytes)]
    form, content = await read(*pieces)
    assert content == nearly_the_end
    assert form.fields == {"name": "Übersicht", "labels": "{}"}
    assert (form.file_name, form.content_type) == ("a.txt", "text/plain")


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('name="f"; filename="résumé.pdf"', "résumé.pdf"),
        ('name="f"; filename="a%22b.txt"', 'a"b.txt'),
        ("name=f; filename=plain.txt", "plain.txt"),
        ("name=f; filename=x.txt; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        ("name=f; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        ('name="f"; filename="C:\\\\work\\\\report.pdf"', "report.pdf"),
    ],
)
async def test_the_name_is_read_as_clients_write_it(disposition: str, name: str) -> None:
    form, _ = await read(part(disposition), b"x", END)
    assert form.file_name == name


@pytest.mark.parametrize("name", ["", "../x", "a\\\\..\\\\b/c", "n" * 256])
async def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    form, _ = await read(part(f'name="f"; filename="{name}"'), b"x", END)
    with pytest.raises(InvalidRequestError) as caught:
        _ = form.file_name
    assert caught.value.code == "invalid-name"


async def test_a_file_without_a_type_is_bytes_and_one_with_no_type_at_all_is_refused() -> None:
    form, _ = await read(part('name="f"; filename="a"'), b"x", END)
    assert form.content_type == "application/octet-stream"
    form, _ = await read(part('name="f"; filename="a"', "Content-Type: nonsense"), b"x", END)
    with pytest.raises(UnsupportedMediaTypeError):
        _ = form.content_type


async def test_an_empty_file_is_a_file() -> None:
    _, content = await read(FILE, END)
    assert content == b""


@pytest.mark.parametrize(
    "boundary",
    ['"a b"', "'()+_,-./:=?".replace(",", "").join(['"', '"']), "x" * 70, "----WebKitFormBoundary1"],
)
async def test_every_boundary_of_the_grammar_is_taken(boundary: str) -> None:
    whole = (FILE + b"x" + END).replace(b"--edge", b"--" + boundary.strip('"').encode())
    _, content = await read(whole, content_type=f"multipart/form-data; boundary={boundary}")
    assert content == b"x"


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        f"multipart/form-data; boundary={'x' * 71}",
        'multipart/form-data; boundary="ends with space "',
        "multipart/form-data; boundary=umläut",
    ],
)
async def test_a_boundary_that_is_none_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await read(FILE, b"x", END, content_type=content_type)
    assert caught.value.code == "invalid-form"


@pytest.mark.parametrize(
    "whole",
    [
        b"",
        b"hello",
        b"--edge--",
        b"--edge--\r\n",
        field("name", b"x") + b"--edge--\r\n",
        field("name", b"x"),
        FILE,
        FILE + b"half",
        FILE + b"x\r\n--edge",
        FILE + b"x\r\n--edge-",
        FILE + b"x\r\n--edge\r\n",
        FILE + b"x\r\n--edge\r\n--edge--",
        FILE + b"x\r\n--edgex--\r\n",
        FILE + b"x\r\n" + FILE + b"y" + END,
        FILE + b"x\r\n" + field("name", b"late") + b"--edge--\r\n",
        FILE + b"x" + END + b"more",
        FILE + b"x" + END + FILE + b"y" + END,
        FILE + b"x" + END + b"\r\n" * 100,
        b"--edge\r\nContent-Disposition: attachment; filename=a\r\n\r\nx" + END,
        b"--edge\r\nContent-Type: text/plain\r\n\r\nx" + END,
        b"--edge\r\nnonsense\r\n\r\nx" + END,
        b"--edge\n\nx" + END,
        part('name="f"; filename="\xff"').replace("\xff".encode(), b"\xff") + b"x" + END,
        part('name="f"; filename="a"', "Content-Length: 5") + b"x" + END,
        part('name="f"; filename="a"', *["X: y"] * 20) + b"x" + END,
        part('name="f"; filename="a"', "X: " + "y" * 5000) + b"x" + END,
        field("name", b"\xff") + FILE + b"x" + END,
        field("name", b"a") + field("name", b"b") + FILE + b"x" + END,
        b"".join(field(f"f{n}", b"") for n in range(MAX_FIELDS + 1)) + FILE + b"x" + END,
        field("name", bytes(MAX_FIELDS_BYTES + 1)) + FILE + b"x" + END,
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, 100_000])
async def test_a_form_that_is_not_one_file_and_its_fields_is_refused(whole: bytes, chunk_bytes: int) -> None:
    if chunk_bytes == 1 and len(whole) > 10_000:
        chunk_bytes = 1000
    pieces = [whole[at : at + chunk_bytes] for at in range(0, len(whole), chunk_bytes)]
    with pytest.raises(InvalidRequestError) as caught:
        await read(*pieces)
    assert caught.value.code == "invalid-form"


@pytest.mark.parametrize(
    "beginning", [b"", b"\r\n".join([part('name="f"')]), part('name="f"; filename="a"')[:-2] + b"X: "]
)
async def test_no_more_is_read_than_can_come_before_a_file(beginning: bytes) -> None:
    given_bytes = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given_bytes
        yield beginning
        while True:
            given_bytes += 1000
            yield b"x" * 1000

    with pytest.raises(InvalidRequestError):
        await open_form(endless(), TYPE)
    assert given_bytes <= MAX_FIELDS_BYTES + 2000


@pytest.mark.parametrize("error", [UploadIncompleteError("cut off"), OSError("reset")])
async def test_an_exception_out_of_the_body_passes_through(error: DropbellError | OSError) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield FILE
        yield b"half"
        raise error

    form = await open_form(body(), TYPE)
    with pytest.raises(type(error)):
        async for _ in form.content():
            pass
