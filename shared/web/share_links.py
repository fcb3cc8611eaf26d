"""``/files/{file_id}/share-links``, and ``/shared/{token}`` that they lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from shared.web.file_bodies import NewShareLink, ShareLinkBody, ShareLinkList
from shared.web.json_body import JSON, json_bytes
from shared.web.routes import BASE_PATH

if TYPE_CHECKING:
    from starlette.requests import Request

    from shared.files.share_link import ShareLink, Sharing
    from shared.web.call import Call
    from shared.web.content import ContentRoutes


class ShareLinkRoutes:
    """The routes of share links. ``public_url`` is where clients find us, without a path."""

    def __init__(self, sharing: Sharing, content: ContentRoutes, *, public_url: str) -> None:
        self._sharing = sharing
        self._content = content
        self._base_url = f"{public_url.rstrip('/')}{BASE_PATH}/shared/"

    async def create_share_link(self, call: Call) -> Response:
        """``POST /files/{file_id}/share-links``; without a body, the link holds for a day."""
        wanted = NewShareLink.read(await json_bytes(call) or b"{}")
        made = await self._sharing.create(
            call.owner, _file_id(call), expires_at=wanted.expires_at, expires_in=wanted.life()
        )
        location = f"{BASE_PATH}/files/{made.file_id}/share-links/{made.id}"
        body = self._body(made).model_dump_json()
        return Response(body, 201, {"location": location}, media_type=JSON)

    async def list_share_links(self, call: Call) -> Response:
        """``GET /files/{file_id}/share-links``: newest first, revoked and expired ones included."""
        found = await self._sharing.links_of(call.owner, _file_id(call))
        body = ShareLinkList(items=[self._body(link) for link in found])
        return Response(body.model_dump_json(), media_type=JSON)

    async def delete_share_link(self, call: Call) -> Response:
        """``DELETE /files/{file_id}/share-links/{link_id}``: the link leads nowhere from now on."""
        await self._sharing.revoke(call.owner, _file_id(call), str(call.request.path_params["link_id"]))
        return Response(status_code=204)

    async def serve(self, request: Request) -> Response:
        """``GET`` and ``HEAD /shared/{token}``, without a bearer token: the link is the permission."""
        file = await self._sharing.follow(str(request.path_params["token"]))
        response = await self._content.serve(request, file)
        response.headers["referrer-policy"] = "no-referrer"  # the address is the secret
        return response

    def _body(self, link: ShareLink) -> ShareLinkBody:
        return ShareLinkBody.of(link, url=self._base_url + self._sharing.token(link))


def _file_id(call: Call) -> str:
    return str(call.request.path_params["file_id"])
