"""Stands in for Microsoft Entra ID: an OpenID Connect issuer with test users, for development only.

Its tokens, discovery documents and endpoints have the shape of Entra's v2.0 endpoint, so that unchanged
clients (MSAL) and an unchanged API work with it. Its signing key is worth nothing outside this machine.
"""
