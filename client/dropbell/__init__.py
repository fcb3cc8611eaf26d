"""Python client for Dropbell; speaks the HTTP API only.

::

    from dropbell import files
    from dropbell.connection import Connection
    from dropbell.service_sign_in import ClientCredentialSignIn

    sign_in = ClientCredentialSignIn(authority, client_id, secret, "api://dropbell/.default")
    with Connection("https://dropbell.example.com", sign_in) as connection:
        file = files.upload(connection, "report.pdf")

Nothing is imported here, so that the command line starts quickly.
"""
