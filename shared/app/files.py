"""The parts that take files in and keep them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from shared.app.world import World

if TYPE_CHECKING:
    from shared.files.catalogue import Catalogue
    from shared.files.content_policy import ContentPolicy
    from shared.files.direct import DirectUploads
    from shared.files.events import EventWriter
    from shared.files.intake import Intake
    from shared.files.publication import Publication
    from shared.files.quota import Quota
    from shared.files.removal import Removal
    from shared.files.scanning import ScanGate
    from shared.files.upload_end import UploadEnds
    from shared.files.uploading import Uploads
    from shared.ledger.idempotency import IdempotentRequests


class Files(World):
    """What is done with files."""

    @cached_property
    def quota(self) -> Quota:
        """What each owner may keep."""
        from shared.files.quota import Quota, QuotaPolicy

        settings = self.settings
        return Quota(self.tables, QuotaPolicy(settings.owner_quota_bytes, settings.owner_quota_files))

    @cached_property
    def content_policy(self) -> ContentPolicy:
        """Which content is taken."""
        from shared.files.content_policy import ContentPolicy

        settings = self.settings
        return ContentPolicy(
            allowed=tuple(settings.allowed_content_types),
            blocked=tuple(settings.blocked_content_types),
        )

    @cached_property
    def events(self) -> EventWriter:
        """Tells of what happens to files. Those who tell stand above; here is nobody to tell."""
        from shared.files.events import Silence

        return Silence()

    @cached_property
    def publication(self) -> Publication:
        """Makes files of uploads."""
        from shared.files.publication import Publication

        return Publication(
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            content=self.content_policy,
            due=self.due_book,
            events=self.events,
        )

    @cached_property
    def scan_gate(self) -> ScanGate | None:
        """What files have to pass before anybody is told of them; None where nothing scans them."""
        settings = self.settings
        if settings.malware_scanning == "off":
            return None
        from shared.files.scanning import ScanGate

        return ScanGate(
            self.scanner,
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            due=self.due_book,
            events=self.events,
            patience_seconds=settings.malware_scan_patience_seconds,
        )

    @cached_property
    def upload_ends(self) -> UploadEnds:
        """Finishes and ends uploads."""
        from shared.files.upload_end import UploadEnds

        return UploadEnds(
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            publication=self.publication,
            keep_seconds=self.settings.upload_expires_seconds,
            events=self.events,
        )

    @cached_property
    def catalogue(self) -> Catalogue:
        """What is known of files."""
        from shared.files.catalogue import Catalogue

        return Catalogue(self.tables, self.clock, due=self.due_book, events=self.events)

    @cached_property
    def removal(self) -> Removal:
        """Deletes files."""
        from shared.files import share_link
        from shared.files.removal import Removal
        from shared.notifications import delivery_record

        return Removal(
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            due=self.due_book,
            rows_of_file=(share_link.row_keys_of_file, delivery_record.row_keys_of_file),
            keep_deleted_seconds=self.settings.deleted_keep_seconds,
            events=self.events,
            is_under_way=delivery_record.is_under_way,
        )

    @cached_property
    def uploads(self) -> Uploads:
        """Resumable uploads."""
        from shared.files.new_upload import UploadPolicy
        from shared.files.uploading import Uploads

        settings = self.settings
        return Uploads(
            self.blobs,
            self.tables,
            self.clock,
            quota=self.quota,
            content=self.content_policy,
            due=self.due_book,
            ends=self.upload_ends,
            policy=UploadPolicy(settings.max_file_bytes, expires_seconds=settings.upload_expires_seconds),
        )

    @cached_property
    def direct_uploads(self) -> DirectUploads:
        """Uploads that go straight to Blob Storage."""
        from shared.files.direct import DirectUploadPolicy, DirectUploads

        settings = self.settings
        return DirectUploads(
            self.tables,
            self.url_signer,
            self.clock,
            quota=self.quota,
            publication=self.publication,
            content=self.content_policy,
            due=self.due_book,
            policy=DirectUploadPolicy(settings.max_file_bytes, settings.direct_upload_url_seconds),
        )

    @cached_property
    def intake(self) -> Intake:
        """Files that come in one request."""
        from shared.files.intake import Intake

        return Intake(
            self.blobs,
            self.tables,
            self.clock,
            max_file_bytes=self.settings.max_one_request_bytes,
            content=self.content_policy,
            quota=self.quota,
            due=self.due_book,
        )

    @cached_property
    def requests(self) -> IdempotentRequests:
        """Requests that carry an Idempotency-Key."""
        from shared.ledger.idempotency import IdempotentRequests

        return IdempotentRequests(self.tables, self.clock, self.due_book)
