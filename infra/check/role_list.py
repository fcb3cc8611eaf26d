"""The roles that are given in Azure: the list that a review approves. The Bicep file is held equal to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROLE_IDS: Final[Mapping[str, str]] = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Delegator": "db58b8e5-c6ad-4a2a-8342-4190687cbf4a",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "Azure Service Bus Data Receiver": "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
    "Azure Service Bus Data Sender": "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Communication and Email Service Owner": "09976791-48a7-449e-bb21-39d1a415f350",
}
"""Azure's built-in roles. https://learn.microsoft.com/azure/role-based-access-control/built-in-roles"""

TAG_READER: Final = "Dropbell Blob Tag Reader"
CUSTOM_ROLES: Final[Mapping[str, frozenset[str]]] = {
    TAG_READER: frozenset({"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/tags/read"}),
}
"""Roles of our own: the data actions that each allows. They allow nothing else."""

APP: Final = "app"
EVENT_TOPIC: Final = "event topic"

PRINCIPALS: Final[Mapping[str, tuple[str, str]]] = {
    APP: ("appPrincipalId", "identity.outputs.principalId"),
    EVENT_TOPIC: ("eventTopicPrincipalId", "eventTopic.outputs.principalId"),
}
"""Who: the parameter of roles.bicep, and what main.bicep hands over for it."""

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers"
SCOPES: Final[Mapping[str, tuple[str, str]]] = {
    "host storage account": ("Microsoft.Storage/storageAccounts", "hostStorageName"),
    "data storage account": ("Microsoft.Storage/storageAccounts", "dataStorageName"),
    "container `uploads`": (_BLOBS, "'${dataStorageName}/default/${uploadsContainer}'"),
    "container `event-dead-letters`": (_BLOBS, "'${dataStorageName}/default/${eventDeadLetterContainer}'"),
    "table `dropbell`": (
        "Microsoft.Storage/storageAccounts/tableServices/tables",
        "'${dataStorageName}/default/${table}'",
    ),
    "queue `webjobs-blobtrigger-poison`": (
        "Microsoft.Storage/storageAccounts/queueServices/queues",
        "'${dataStorageName}/default/${poisonQueue}'",
    ),
    "Service Bus queue `notifications`": (
        "Microsoft.ServiceBus/namespaces/queues",
        "'${serviceBusName}/${queue}'",
    ),
    "secret `dropbell-secrets-key`": ("Microsoft.KeyVault/vaults/secrets", "'${vaultName}/${secretName}'"),
    "Application Insights": ("Microsoft.Insights/components", "insightsName"),
    "Communication Services (when there is one)": (
        "Microsoft.Communication/communicationServices",
        "empty(communicationName) ? 'none' : communicationName",
    ),
}
"""Where: the type of the resource and its name, as roles.bicep writes them."""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One principal may do one role's things at one scope."""

    principal: str
    scope: str
    role: str


EXPECTED: Final[Sequence[Grant]] = (
    Grant(APP, "host storage account", "Storage Blob Data Owner"),
    Grant(APP, "host storage account", "Storage Queue Data Contributor"),
    Grant(APP, "host storage account", "Storage Table Data Contributor"),
    Grant(APP, "container `uploads`", "Storage Blob Data Contributor"),
    Grant(APP, "container `uploads`", TAG_READER),
    Grant(APP, "data storage account", "Storage Blob Delegator"),
    Grant(APP, "table `dropbell`", "Storage Table Data Contributor"),
    Grant(APP, "queue `webjobs-blobtrigger-poison`", "Storage Queue Data Contributor"),
    Grant(APP, "Service Bus queue `notifications`", "Azure Service Bus Data Receiver"),
    Grant(APP, "Service Bus queue `notifications`", "Azure Service Bus Data Sender"),
    Grant(APP, "secret `dropbell-secrets-key`", "Key Vault Secrets User"),
    Grant(APP, "Application Insights", "Monitoring Metrics Publisher"),
    Grant(APP, "Communication Services (when there is one)", "Communication and Email Service Owner"),
    Grant(EVENT_TOPIC, "container `event-dead-letters`", "Storage Blob Data Contributor"),
)
