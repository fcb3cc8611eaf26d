"""The few HTML pages a person sees. Every value is escaped."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.entra.directory import Directory
    from local.entra.tokens import Tenant

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
code, pre { background: #f3f3f3; padding: .1em .3em; }
pre { padding: .8em; overflow: auto; }
button { font: inherit; margin: .2rem .4rem .2rem 0; padding: .4rem .9rem; cursor: pointer; }
input[type=text] { font: inherit; padding: .35rem; letter-spacing: .1em; text-transform: uppercase; }
.error { color: #a00; } footer { margin-top: 3rem; color: #666; font-size: .85rem; }
"""


def home_page(tenant: Tenant, base_url: str) -> str:
    """What is here, for whoever opens the port in a browser."""
    directory = tenant.directory
    tenant_url = f"{base_url}/{directory.tenant_id}"
    users = "".join(
        f"<li><code>{escape(user.name)}</code> {escape(user.display_name)}{_roles(user.roles)}</li>"
        for user in directory.users
    )
    apps = "".join(
        f"<li><code>{escape(app.name)}</code> <code>{app.client_id}</code>, "
        f"{'confidential' if app.is_confidential else 'public'}{_roles(app.roles)}</li>"
        for app in directory.apps
    )
    body = json.dumps({"user": directory.users[0].name if directory.users else "alice"})
    mint = f"curl -H 'content-type: application/json' -d '{body}' {base_url}/local/tokens"
    return _page(
        "Dropbell local sign-in",
        f"""<p>Stands in for Microsoft Entra ID on this machine.</p>
        <p>Issuer: <code>{escape(tenant.issuer)}</code></p>
        <ul>
          <li><a href="{escape(tenant_url)}/v2.0/.well-known/openid-configuration">Discovery document</a></li>
          <li><a href="{escape(tenant_url)}/discovery/v2.0/keys">Signing keys</a></li>
          <li><a href="{escape(tenant_url)}/oauth2/v2.0/deviceauth">Enter a device code</a></li>
        </ul>
        <h2>Users</h2><ul>{users}</ul><h2>Applications</h2><ul>{apps}</ul>
        <h2>A token without signing in</h2><pre>{escape(mint)}</pre>""",
    )


def device_page(directory: Directory, *, user_code: str = "", error: str = "") -> str:
    """Where a person types the code that a device shows and picks a test user."""
    problem = f'<p class="error">{escape(error)}</p>' if error else ""
    return _page(
        "Enter the code shown on your device",
        f"""{problem}<form method="post">
        <p><label>Code <input type="text" name="user_code" value="{escape(user_code)}" required autofocus
          autocomplete="off" maxlength="16"></label></p>
        <p>Sign in as</p>{_user_buttons(directory)}
        <p><button name="action" value="deny" type="submit">This was not me</button></p></form>""",
    )


def sign_in_page(directory: Directory, parameters: Mapping[str, str], *, error: str = "") -> str:
    """Where a person picks a test user for an authorization request."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in parameters.items()
        if name not in {"login_hint", "user", "action"}
    )
    problem = f'<p class="error">{escape(error)}</p>' if error else ""
    return _page(
        "Sign in",
        f"""{problem}<form method="post"><p>Pick a test user:</p>{hidden}{_user_buttons(directory)}
        <p><button name="action" value="deny" type="submit">Cancel</button></p></form>""",
    )


def message_page(title: str, text: str) -> str:
    """One sentence."""
    return _page(title, f"<p>{escape(text)}</p>")


def form_post_page(redirect_uri: str, parameters: Mapping[str, str]) -> str:
    """Hands an authorization response over by POST (OAuth 2.0 Form Post Response Mode)."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in parameters.items()
    )
    return _page(
        "Signing in …",
        f"""<form method="post" action="{escape(redirect_uri)}">{fields}
        <noscript><button type="submit">Continue</button></noscript></form>
        <script>document.forms[0].submit()</script>""",
    )


def redirect_url(redirect_uri: str, parameters: Mapping[str, str], response_mode: str) -> str:
    """The redirect URI with an authorization response in its query or fragment."""
    query = urlencode(parameters)
    if response_mode == "fragment":
        return f"{redirect_uri}#{query}"
    return f"{redirect_uri}{'&' if urlsplit(redirect_uri).query else '?'}{query}"


def _user_buttons(directory: Directory) -> str:
    return "".join(
        f'<button name="user" value="{escape(user.name)}" type="submit">{escape(user.display_name)}</button>'
        for user in directory.users
    )


def _roles(roles: tuple[str, ...]) -> str:
    return f" ({escape(', '.join(roles))})" if roles else ""


def _page(title: str, body: str) -> str:
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>
<body><h1>{escape(title)}</h1>{body}<footer>Development only: nothing here protects anything.</footer></body>
</html>"""
