"""The page's files. What it shows comes as JSON and is written as text, never as markup.

The Content-Security-Policy lets in the part's own scripts and styles, and nothing inline.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "page"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
ASSETS = {path.name: path for path in FOLDER.iterdir() if path.suffix in TYPES}

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


async def show_list(_request: web.Request) -> web.FileResponse:
    """The list of traces."""
    return web.FileResponse(FOLDER / "list.html", headers=HEADERS)


async def show_trace(_request: web.Request) -> web.FileResponse:
    """One trace; the script reads from the address which."""
    return web.FileResponse(FOLDER / "trace.html", headers=HEADERS)


async def show_asset(request: web.Request) -> web.FileResponse:
    """A script, style or picture of the page."""
    path = ASSETS.get(request.match_info["name"])
    if path is None:
        raise web.HTTPNotFound
    return web.FileResponse(path, headers={**HEADERS, "Content-Type": TYPES[path.suffix]})
