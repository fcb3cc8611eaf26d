"""Who is calling, and what they may do: tokens, signing keys, principals and permissions.

A request goes through in this order::

    Authorization header ─▶ token.TokenValidator ─▶ signing_keys.SigningKeys   the signature
                                    │
                                    └─▶ claims.principal_from_claims           issuer, audience, times, grants
                                                 │
                                    principal.Principal ─▶ principal.require   the permission of the route
"""
