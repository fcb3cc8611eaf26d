"""The routes of the API and what each asks of its caller: the policy, as data.

Deny by default: a route that is not listed here cannot be served, and one without a permission cannot be
listed. ``function_app.py`` binds a function of the same name to each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.errors import InternalError
from shared.identity.permissions import Permission

BASE_PATH: Final = "/api/v1"


@dataclass(frozen=True, slots=True)
class Route:
    """One verb on one path. ``needs`` is what the caller must be allowed to do, on data of its own."""

    name: str
    method: str
    path: str
    needs: Permission


@dataclass(frozen=True, slots=True)
class OpenRoute:
    """A route that asks for no token; ``path`` is the whole one, ``why`` says why that is safe."""

    name: str
    method: str
    path: str
    why: str


ROUTES: Final = (
    Route("create_file", "POST", "/files", Permission.FILES_WRITE),
    Route("list_files", "GET", "/files", Permission.FILES_READ),
    Route("get_file", "GET", "/files/{file_id}", Permission.FILES_READ),
    Route("update_file", "PATCH", "/files/{file_id}", Permission.FILES_WRITE),
    Route("delete_file", "DELETE", "/files/{file_id}", Permission.FILES_WRITE),
    Route("get_content", "GET", "/files/{file_id}/content", Permission.FILES_READ),
    Route("list_deliveries", "GET", "/files/{file_id}/deliveries", Permission.DELIVERIES_READ),
    Route("watch_file", "GET", "/files/{file_id}/events", Permission.DELIVERIES_READ),
    Route("list_own_deliveries", "GET", "/deliveries", Permission.DELIVERIES_READ),
    Route("get_delivery", "GET", "/deliveries/{delivery_id}", Permission.DELIVERIES_READ),
    Route("create_share_link", "POST", "/files/{file_id}/share-links", Permission.FILES_WRITE),
    Route("list_share_links", "GET", "/files/{file_id}/share-links", Permission.FILES_WRITE),
    Route("delete_share_link", "DELETE", "/files/{file_id}/share-links/{link_id}", Permission.FILES_WRITE),
    Route("create_upload", "POST", "/uploads", Permission.FILES_WRITE),
    Route("get_upload", "GET", "/uploads/{upload_id}", Permission.FILES_WRITE),
    Route("append_upload", "PATCH", "/uploads/{upload_id}", Permission.FILES_WRITE),
    Route("delete_upload", "DELETE", "/uploads/{upload_id}", Permission.FILES_WRITE),
    Route("override_upload", "POST", "/uploads/{upload_id}", Permission.FILES_WRITE),
    Route("create_direct_upload", "POST", "/direct-uploads", Permission.FILES_WRITE),
    Route("complete_direct_upload", "POST", "/direct-uploads/{upload_id}/complete", Permission.FILES_WRITE),
    Route("create_subscription", "POST", "/subscriptions", Permission.SUBSCRIPTIONS_MANAGE),
    Route("list_subscriptions", "GET", "/subscriptions", Permission.SUBSCRIPTIONS_MANAGE),
    Route("get_subscription", "GET", "/subscriptions/{subscription_id}", Permission.SUBSCRIPTIONS_MANAGE),
    Route(
        "update_subscription", "PATCH", "/subscriptions/{subscription_id}", Permission.SUBSCRIPTIONS_MANAGE
    ),
    Route(
        "delete_subscription", "DELETE", "/subscriptions/{subscription_id}", Permission.SUBSCRIPTIONS_MANAGE
    ),
    Route(
        "rotate_secret",
        "POST",
        "/subscriptions/{subscription_id}/rotate-secret",
        Permission.SUBSCRIPTIONS_MANAGE,
    ),
    Route(
        "test_subscription", "POST", "/subscriptions/{subscription_id}/test", Permission.SUBSCRIPTIONS_MANAGE
    ),
    Route(
        "verify_subscription",
        "POST",
        "/subscriptions/{subscription_id}/verify",
        Permission.SUBSCRIPTIONS_MANAGE,
    ),
    Route("redeliver", "POST", "/deliveries/{delivery_id}/redeliver", Permission.SUBSCRIPTIONS_MANAGE),
    Route("list_dead_letters", "GET", "/operations/dead-letters", Permission.OPERATIONS_READ),
    Route("redrive_dead_letters", "POST", "/operations/dead-letters/redrive", Permission.OPERATIONS_REDRIVE),
    Route("discard_dead_letters", "POST", "/operations/dead-letters/discard", Permission.OPERATIONS_REDRIVE),
)

OPEN_ROUTES: Final = (
    OpenRoute("health", "GET", "/api/health", "says nothing but whether the parts answer"),
    OpenRoute("openapi", "GET", "/api/openapi.json", "the same for everybody"),
    OpenRoute("docs", "GET", "/api/docs", "the same for everybody"),
    OpenRoute("problem", "GET", "/api/problems/{code}", "the same for everybody"),
    OpenRoute("get_shared_content", "GET", f"{BASE_PATH}/shared/{{token}}", "the link is the permission"),
    OpenRoute("show_unsubscribe", "GET", f"{BASE_PATH}/unsubscribe/{{token}}", "the link is the permission"),
    OpenRoute("unsubscribe", "POST", f"{BASE_PATH}/unsubscribe/{{token}}", "the link is the permission"),
    OpenRoute("options", "OPTIONS", "/api/{*path}", "browsers ask before they send a token"),
)

WITH_HEAD: Final = frozenset({"get_file", "get_content", "get_upload", "get_shared_content"})
"""What answers HEAD as it answers GET, without the content (RFC 9110 §9.3.2)."""

_PERMISSIONS: Final = {route.name: route.needs for route in ROUTES}
_OPEN: Final = frozenset(route.name for route in OPEN_ROUTES)
_TEMPLATES: Final = {route.name: BASE_PATH + route.path for route in ROUTES} | {
    route.name: route.path for route in OPEN_ROUTES
}


def permission_of(name: str) -> Permission:
    """What the route needs; raises InternalError for a route that is not in the table."""
    try:
        return _PERMISSIONS[name]
    except KeyError:
        raise _not_listed(name) from None


def template_of(name: str) -> str:
    """The route's whole path, with the names of its parameters; the name itself for one not in the table."""
    return _TEMPLATES.get(name, name)


def check_open(name: str) -> None:
    """Raise InternalError for a route that is not in the table of those without a token."""
    if name not in _OPEN:
        raise _not_listed(name)


def _not_listed(name: str) -> InternalError:
    return InternalError("This route cannot be served.", reason=f"route-not-listed:{name}")
