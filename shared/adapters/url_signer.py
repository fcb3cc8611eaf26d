"""``UrlSigner`` on Azure Blob Storage: URLs with a service SAS for one blob.

https://learn.microsoft.com/rest/api/storageservices/create-service-sas
https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from azure.storage.blob import BlobSasPermissions, generate_blob_sas
from azure.storage.blob.aio import BlobServiceClient

from shared.adapters.blob_arguments import check_field_value, check_name
from shared.adapters.delegation_key import DelegationKeys

if TYPE_CHECKING:
    from datetime import datetime

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AioHttpTransport

    from shared.ports import Clock

_UPLOAD = BlobSasPermissions(create=True, write=True)
_DOWNLOAD = BlobSasPermissions(read=True)
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class BlobAddresses:
    """Where the blobs of one container are, for clients.

    Raises ValueError for an endpoint that would carry the URLs' secrets in the clear: http, but for loopback.
    """

    account_name: str
    account_url: str
    container: str
    content_base_url: str | None = None
    """What stands in for scheme and host of downloads: a content delivery network."""

    def __post_init__(self) -> None:
        _ = self.protocol

    @property
    def protocol(self) -> str:
        """What the URLs may be used with (SAS field ``spr``)."""
        parts = urlsplit(self.account_url)
        if parts.scheme == "https":
            return "https"
        if parts.scheme == "http" and parts.hostname in _LOOPBACK_HOSTS:
            return "https,http"
        raise ValueError("signed URLs need an https endpoint")

    def upload(self, name: str) -> str:
        """Where the blob is written to."""
        return f"{self.account_url.rstrip('/')}/{self.container}/{quote(name, safe='/~')}"

    def download(self, name: str) -> str:
        """Where the blob is read from."""
        url = self.upload(name)
        if self.content_base_url is None:
            return url
        return self.content_base_url.rstrip("/") + urlsplit(url).path

    def signature(self, name: str, permission: BlobSasPermissions, expires_at: datetime, **more: Any) -> str:
        """The SAS query string; ``more`` has the key, and the fields that the answer is to carry."""
        check_name(name)
        return generate_blob_sas(
            self.account_name,
            self.container,
            name,
            permission=permission,
            expiry=expires_at,
            protocol=self.protocol,
            **more,
        )


class AccountKeyUrlSigner:
    """Signs with the account key: Azurite, and accounts that still allow it."""

    def __init__(self, addresses: BlobAddresses, account_key: str) -> None:
        self._addresses = addresses
        self._account_key = account_key

    @classmethod
    def connect(
        cls, container: str, *, connection_string: str, content_base_url: str | None = None
    ) -> AccountKeyUrlSigner:
        """By connection string; raises ValueError for one without an account key. Nothing is ever asked."""
        service = BlobServiceClient.from_connection_string(connection_string)
        account_key = getattr(service.credential, "account_key", None)
        if account_key is None:
            raise ValueError("the connection string has no account key to sign with")
        return cls(
            BlobAddresses(str(service.account_name), service.url, container, content_base_url), account_key
        )

    async def upload_url(self, name: str, *, expires_at: datetime) -> str:
        """See ``UrlSigner``."""
        return _upload_url(self._addresses, name, expires_at, account_key=self._account_key)

    async def download_url(
        self, name: str, *, expires_at: datetime, content_type: str, content_disposition: str
    ) -> str:
        """See ``UrlSigner``."""
        return _download_url(
            self._addresses,
            name,
            expires_at,
            content_type=content_type,
            content_disposition=content_disposition,
            account_key=self._account_key,
        )


class UserDelegationUrlSigner:
    """Signs with a user delegation key: the account needs no shared keys.

    The identity needs ``Storage Blob Delegator`` on the account, or a data role that includes it, and the
    permissions that the URLs give on the container.
    """

    def __init__(self, addresses: BlobAddresses, keys: DelegationKeys) -> None:
        self._addresses = addresses
        self._keys = keys

    @classmethod
    def connect(
        cls,
        container: str,
        transport: AioHttpTransport,
        *,
        account_url: str,
        credential: AsyncTokenCredential,
        clock: Clock,
        content_base_url: str | None = None,
    ) -> UserDelegationUrlSigner:
        """By account URL and managed identity."""
        options: dict[str, Any] = {"transport": transport, "retry_total": 0}  # see azure_transport
        service = BlobServiceClient(account_url, credential=credential, **options)
        addresses = BlobAddresses(str(service.account_name), service.url, container, content_base_url)
        return cls(addresses, DelegationKeys(service, clock))

    async def upload_url(self, name: str, *, expires_at: datetime) -> str:
        """See ``UrlSigner``; raises UnavailableError when no key can be had, ValueError beyond seven days."""
        key = await self._keys.valid_until(expires_at)
        return _upload_url(self._addresses, name, expires_at, user_delegation_key=key)

    async def download_url(
        self, name: str, *, expires_at: datetime, content_type: str, content_disposition: str
    ) -> str:
        """See ``UrlSigner``; raises as ``upload_url`` does."""
        key = await self._keys.valid_until(expires_at)
        return _download_url(
            self._addresses,
            name,
            expires_at,
            content_type=content_type,
            content_disposition=content_disposition,
            user_delegation_key=key,
        )


def _upload_url(addresses: BlobAddresses, name: str, expires_at: datetime, **key: Any) -> str:
    return f"{addresses.upload(name)}?{addresses.signature(name, _UPLOAD, expires_at, **key)}"


def _download_url(
    addresses: BlobAddresses,
    name: str,
    expires_at: datetime,
    *,
    content_type: str,
    content_disposition: str,
    **key: Any,
) -> str:
    check_field_value(content_type)
    check_field_value(content_disposition)
    query = addresses.signature(
        name,
        _DOWNLOAD,
        expires_at,
        content_type=content_type,
        content_disposition=content_disposition,
        **key,
    )
    return f"{addresses.download(name)}?{query}"
