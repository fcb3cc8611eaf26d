"""The bodies that the operations name, each in one place: a model, or a schema where no model is needed."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.web.bodies import FileBody, NewSubscription, SubscriptionBody
from shared.web.direct_uploads import DirectUploadBody, NewDirectUpload
from shared.web.file_bodies import (
    FileDetail,
    FileList,
    FilePatch,
    NewShareLink,
    ShareLinkBody,
    ShareLinkList,
)

__all__ = [
    "ANY",
    "FORM",
    "HTML",
    "JSON",
    "MERGE_PATCH",
    "OCTETS",
    "PARTIAL_UPLOAD",
    "PROBLEM_JSON",
    "TUS_OCTETS",
    "DirectUploadBody",
    "FileBody",
    "FileDetail",
    "FileList",
    "FilePatch",
    "HealthBody",
    "NewDirectUpload",
    "NewShareLink",
    "NewSubscription",
    "ProblemBody",
    "ProblemPage",
    "ShareLinkBody",
    "ShareLinkList",
    "SubscriptionBody",
]

PROBLEM_JSON: Final = "application/problem+json"
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
OCTETS: Final = "application/octet-stream"
ANY: Final = "*/*"
FORM: Final = "multipart/form-data"
TUS_OCTETS: Final = "application/offset+octet-stream"
PARTIAL_UPLOAD: Final = "application/partial-upload"
HTML: Final = "text/html"


class ProblemBody(BaseModel):
    """What went wrong (RFC 9457). Compare `type` as a string; `detail` is for people."""

    model_config = ConfigDict(extra="allow", title="Problem", use_attribute_docstrings=True)

    type: str
    """What kind of problem this is; stable. Leads to a page that explains it."""
    title: str
    """The kind in a few words; always the same for a `type`."""
    status: int
    """The HTTP status once more."""
    detail: str
    """What is wrong with this very request, and what can be done."""
    correlation_id: str
    """Names the request when you ask about it."""


class HealthBody(BaseModel):
    """That the process can serve."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Literal["ok"]
    """`ok`, always."""
    checks: dict[str, str] = Field(default_factory=dict)
    """With `deep=1`: what each service answered."""
    release: str | None = None
    """With `deep=1`: the commit that the running package was made of, where that is known."""


class ProblemPage(BaseModel):
    """What a problem's `type` means."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str
    """The `type`, as the answers have it."""
    title: str
    """The kind in a few words."""
    statuses: list[int]
    """The HTTP statuses that it comes with."""
    meaning: str
    """What has happened."""
    remedy: str
    """What you can do."""
    retryable: bool
    """Whether the very same request can succeed later."""
