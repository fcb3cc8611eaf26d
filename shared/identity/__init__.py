"""Who is calling, and what they may do: tokens, signing keys, principals and permissions.

A request goes through in this order::

    Authorization header ─▶ compact_token.UnverifiedToken                    well formed, not believed
                                    │
            trusted_issuer ─▶ token.TokenValidator ─▶ signing_keys.SigningKeys   the signature
                                    │
                                    └─▶ claims.principal_from_claims           issuer, audience, times, grants
                                                 │
                                    principal.Principal ─▶ principal.require   the permission of the route
                                                 │
           Dropbell-Owner header ───────────────▶└─▶ owner.acting_owner        whose data
"""
