"""HTTP sessions with time limits, and their failures told in one sentence."""

from __future__ import annotations

import ssl
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError

from dropbell.errors import ConnectionFailedError, InputError

CONNECT_TIMEOUT_SECONDS = 30.0
"""Also the longest that sending may stall: urllib3 has one limit for both."""
READ_TIMEOUT_SECONDS = 120.0
"""The longest silence while an answer is due; the service settles a large upload before it answers."""

Timeout = tuple[float, float]
"""Seconds to connect, seconds to wait for the next byte of the answer."""


class _TimeLimitedSession(requests.Session):
    """Gives every request a time limit; requests itself has none."""

    def __init__(self, timeout: Timeout) -> None:
        super().__init__()
        self._timeout = timeout

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        if options.get("timeout") is None:
            options["timeout"] = self._timeout
        return super().send(request, **options)


def open_session(
    ca_file: str | None = None,
    *,
    trust_env: bool = False,
    timeout: Timeout = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
) -> requests.Session:
    """Open an HTTP session.

    Args:
        ca_file: Certificates (PEM) to trust in place of the usual ones.
        trust_env: Take proxies from the environment. It is off because ``REQUESTS_CA_BUNDLE`` would then
            silently replace ``ca_file``.
        timeout: Time limits of every request.

    Raises:
        InputError: ``ca_file`` cannot be read or holds no certificate.
    """
    if ca_file is not None:
        _check_certificates(ca_file)
    session = _TimeLimitedSession(timeout)
    session.trust_env = trust_env
    session.verify = ca_file or True
    session.headers["User-Agent"] = f"dropbell/{version('dropbell')}"
    return session


def _check_certificates(ca_file: str) -> None:
    # requests would find out in the middle of a request and blame the connection.
    try:
        ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise InputError(f"The certificate file {ca_file} holds no certificate (PEM).") from error
    except OSError as error:
        raise InputError(f"The certificate file {ca_file} cannot be read: {error.strerror}.") from error


def connection_failed(error: requests.RequestException, url: str) -> ConnectionFailedError:
    """Say in one sentence what went wrong on the way to ``url`` and what may help."""
    where = urlsplit(url)._replace(path="", query="", fragment="").geturl()
    connected = False
    match error:
        case requests.exceptions.SSLError() if _is_untrusted(error):
            sentence = f"The certificate of {where} is not trusted; if it is your own, name its CA file."
        case requests.exceptions.SSLError():
            sentence = f"The protected connection to {where} failed or broke; check that it is https there."
            connected = True
        case requests.exceptions.ProxyError():
            sentence = f"The proxy on the way to {where} did not let the request through."
        case requests.exceptions.ConnectTimeout():
            sentence = f"Nothing at {where} took the connection in time; check the address and the network."
        case requests.exceptions.ReadTimeout():
            sentence = f"{where} took the request but did not answer in time; it may still have acted on it."
            connected = True
        case requests.exceptions.ConnectionError() if _never_connected(error):
            sentence = f"Could not connect to {where}; check the address and that the service is running."
        case _:
            sentence = f"The connection to {where} broke before the answer was complete."
            connected = True
    return ConnectionFailedError(sentence, connected=connected)


def _never_connected(error: requests.RequestException) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _is_untrusted(error: BaseException | None) -> bool:
    # The TLS library's own error is somewhere beneath those of urllib3.
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
