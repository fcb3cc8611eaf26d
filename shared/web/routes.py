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


ROUTES: Final = (
    Route("create_file", "POST", "/files", Permission.FILES_WRITE),
    Route("get_file", "GET", "/files/{file_id}", Permission.FILES_READ),
    Route("list_deliveries", "GET", "/files/{file_id}/deliveries", Permission.DELIVERIES_READ),
    Route("create_subscription", "POST", "/subscriptions", Permission.SUBSCRIPTIONS_MANAGE),
    Route("get_subscription", "GET", "/subscriptions/{subscription_id}", Permission.SUBSCRIPTIONS_MANAGE),
)

_PERMISSIONS: Final = {route.name: route.needs for route in ROUTES}


def permission_of(name: str) -> Permission:
    """What the route needs; raises InternalError for a route that is not in the table."""
    try:
        return _PERMISSIONS[name]
    except KeyError:
        raise InternalError("This route cannot be served.", reason=f"route-not-listed:{name}") from None
