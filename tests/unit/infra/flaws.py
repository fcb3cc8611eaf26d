"""One flaw after the other, for the check that has to find it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from infra.check.agreement import check_agreement
from infra.check.app_settings import check_app_settings
from infra.check.operations import check_operations
from infra.check.permissions import check_permissions
from infra.check.roles import check_roles
from infra.check.secret_values import check_secrets
from infra.check.syntax import check_modules, check_names, check_parameter_file, check_pinned, check_syntax

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

type Check = Callable[[Path], Sequence[str]]

SETTINGS = "infra/modules/app-settings.bicep"
ROLES = "infra/modules/roles.bicep"
BUS = "infra/modules/service-bus.bicep"

FLAWS: Sequence[tuple[Check, str, str, str, str]] = [
    # The files are Bicep, and fit each other.
    (check_syntax, "infra/main.bicep", "module network 'modules/network.bicep' =", "module network", "line"),
    (check_syntax, ROLES, "scope: hostStorage\n", "scope hostStorage\n", "line"),
    (check_syntax, "infra/main.bicepparam", "param publicUrl =", "param publicUrl", "line"),
    (check_syntax, "infra/entra.bicep", "resource api '", 'resource api "', "line"),
    (
        check_names,
        "infra/main.bicep",
        "name: names.identity",
        "name: nombres.identity",
        "nombres is not declared",
    ),
    (
        check_names,
        "infra/main.bicep",
        "uniqueString(resourceGroup().id, ",
        "unikString(resourceGroup().id, ",
        "unikString",
    ),
    (check_names, BUS, "param units int\n", "param units int\nparam more int\n", "more is not used"),
    (check_modules, "infra/main.bicep", "    tier: serviceBusTier\n", "", "needs tier"),
    (
        check_modules,
        "infra/main.bicep",
        "    tier: serviceBusTier\n",
        "    tiers: serviceBusTier\n",
        "no parameter tiers",
    ),
    (
        check_modules,
        "infra/main.bicep",
        "serviceBus.outputs.host",
        "serviceBus.outputs.hosts",
        "no output hosts",
    ),
    (check_modules, "infra/main.bicep", "mail!.outputs.sender", "mail!.outputs.from", "no output from"),
    (
        check_modules,
        "infra/main.bicep",
        "'modules/mail.bicep'",
        "'modules/post.bicep'",
        "there is no modules/post.bicep",
    ),
    (
        check_modules,
        BUS,
        "  params: {\n    name: name",
        "  name: 'bus'\n  params: {\n    name: name",
        "a name for its deployment",
    ),
    (check_pinned, BUS, "namespace:0.17.0", "namespace:0.17", "not a verified module"),
    (
        check_pinned,
        BUS,
        "br/public:avm/res/service-bus",
        "br/public:other/service-bus",
        "not a verified module",
    ),
    (check_pinned, BUS, "br/public:avm", "br:example.azurecr.io/avm", "not a verified module"),
    (
        check_parameter_file,
        "infra/main.bicepparam",
        "param apiClientId",
        "param clientId",
        "apiClientId has to be set",
    ),
    (check_parameter_file, "infra/main.bicepparam", "'512'", "'2048'", "instanceMemoryMB is '2048'"),
    (check_parameter_file, "infra/main.bicepparam", "'RollingUpdate'", "'Recreate'", "updateStrategy"),
    # No secret.
    (
        check_secrets,
        "infra/modules/secrets-key.bicep",
        "@secure()\nparam firstSeed",
        "param firstSeed",
        "not marked @secure()",
    ),
    (
        check_secrets,
        "infra/modules/secrets-key.bicep",
        "firstSeed string = newGuid()",
        "firstSeed string = 'abc'",
        "default",
    ),
    (
        check_secrets,
        BUS,
        "param units int\n",
        "param units int\nparam adminPassword string\n",
        "adminPassword",
    ),
    (
        check_secrets,
        "infra/modules/secrets-key.bicep",
        "string = secretName",
        "string = firstSeed",
        "gives away firstSeed",
    ),
    (
        check_secrets,
        BUS,
        "output host string",
        "output queueSecret string",
        "queueSecret is a secret by its name",
    ),
    (
        check_secrets,
        BUS,
        "output queue string = queues[0].Name",
        "output q object = x.listKeys()",
        "gives away listKeys",
    ),
    (
        check_secrets,
        BUS,
        "tier == 'Premium'",
        "tier == listKeys(name, '1').key",
        "keys of a resource are asked for",
    ),
    (
        check_secrets,
        SETTINGS,
        "'EventGrid'",
        "'DefaultEndpointsProtocol=https;AccountKey=a'",
        "looks like a secret",
    ),
    (check_secrets, SETTINGS, "'EventGrid'", f"'{'a' * 43}='", "looks like a secret"),
    # App settings.
    (
        check_app_settings,
        SETTINGS,
        "  DROPBELL_PUBLIC_URL: publicUrl\n",
        "",
        "DROPBELL_PUBLIC_URL: is not set",
    ),
    (
        check_app_settings,
        SETTINGS,
        "  DROPBELL_TOKEN_AUDIENCES: apiClientId\n",
        "",
        "DROPBELL_TOKEN_AUDIENCES",
    ),
    (check_app_settings, SETTINGS, "DROPBELL_TABLE:", "DROPBELL_TABEL:", "nobody reads DROPBELL_TABEL"),
    (
        check_app_settings,
        SETTINGS,
        "DropbellStorage__tableServiceUri:",
        "DropbellStorage__tableUri:",
        "tableServiceUri",
    ),
    (
        check_app_settings,
        SETTINGS,
        "  DropbellStorage__queueServiceUri:",
        "  DropbellStorage:",
        "the host needs",
    ),
    (
        check_app_settings,
        SETTINGS,
        "AzureWebJobsStorage__clientId: clientId",
        "AzureWebJobsStorage: 'x'",
        "is a connection string",
    ),
    # Names, queue settings, versions.
    (check_agreement, BUS, "queue.Properties.MaxDeliveryCount", "10", "maxDeliveryCount is 10"),
    (
        check_agreement,
        BUS,
        "        lockDuration: queue.Properties.LockDuration\n",
        "",
        "lockDuration is None",
    ),
    (check_agreement, BUS, "Namespaces[0].Queues", "Namespaces[1].Queues", "not read from"),
    (
        check_agreement,
        "local/service_bus.config.json",
        '"ForwardTo": ""',
        '"ForwardTo": "other"',
        "ForwardTo",
    ),
    (
        check_agreement,
        "local/service_bus.config.json",
        '"LockDuration": "PT1M"',
        '"LockDuration": "PT6M"',
        "is shorter than the lock",
    ),
    (check_agreement, "local/service_bus.config.json", '"notifications"', '"messages"', "queue: "),
    (
        check_agreement,
        "local/up.py",
        'QUEUE = "notifications"',
        'QUEUE = "messages"',
        "local/up.py says messages",
    ),
    (
        check_agreement,
        "local/up.py",
        'UPLOADS_CONTAINER = "uploads"',
        'UPLOADS_CONTAINER = "files"',
        "uploads container: ",
    ),
    (
        check_agreement,
        "infra/main.bicep",
        "uploadsContainer = 'uploads'",
        "uploadsContainer = 'files'",
        "uploads container: ",
    ),
    (
        check_agreement,
        "infra/events.bicep",
        "string = 'uploads'",
        "string = 'files'",
        "events.bicep says files",
    ),
    (
        check_agreement,
        "infra/main.bicep",
        "table = 'dropbell'",
        "table = 'rows'",
        "table: main.bicep says rows",
    ),
    (
        check_agreement,
        "local.settings.json.example",
        '"DROPBELL_TABLE": "dropbell"',
        '"DROPBELL_TABLE": "rows"',
        "table: ",
    ),
    (
        check_agreement,
        "infra/events.bicep",
        "Host.Functions.announce",
        "Host.Functions.tell",
        "function that events are for",
    ),
    (
        check_agreement,
        "function_app.py",
        "async def announce(",
        "async def tell(",
        "function_app.py says tell",
    ),
    (
        check_agreement,
        "shared/files/file.py",
        'INCOMING = "incoming/"',
        'INCOMING = "staging/"',
        "folder of uploads",
    ),
    (
        check_agreement,
        "infra/events.bicep",
        "'event-dead-letters'",
        "'dead'",
        "container of undelivered events",
    ),
    (
        check_agreement,
        "host.json",
        '"autoCompleteMessages": true',
        '"autoCompleteMessages": false',
        "autoCompleteMessages",
    ),
    (check_agreement, "host.json", '"routePrefix": "api"', '"routePrefix": "rest"', "no route for /rest/*"),
    (
        check_agreement,
        "infra/modules/function-app.bicep",
        "version: '3.13'",
        "version: '3.12'",
        "version of Python",
    ),
    # Roles.
    (check_roles, ROLES, "roleIds.StorageBlobDelegator", "roleIds.StorageBlobDataOwner", "not in the list"),
    (check_roles, ROLES, "scope: uploads\n", "scope: dataStorage\n", "its name does not follow"),
    (check_roles, ROLES, "'${serviceBusName}/${queue}'", "serviceBusName", "appReceives: principal"),
    (
        check_roles,
        ROLES,
        "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
        "090c5cfd-751d-490a-894a-3ce6f1109419",
        "appSends",
    ),
    (check_roles, ROLES, "resource appSends '", "resource appSends 'X", "in the list and not given"),
    (
        check_roles,
        "infra/main.bicep",
        "appPrincipalId: identity.outputs",
        "appPrincipalId: deployer.outputs",
        "appPrincipalId",
    ),
    (
        check_roles,
        "infra/events.bicep",
        "resource app 'Microsoft.Web/sites@2024-11-01'",
        "resource app 'Microsoft.Authorization/roleAssignments@2022-04-01'",
        "gives or makes a role outside",
    ),
    (check_roles, BUS, "    disableLocalAuth: true\n", "    roleAssignments: []\n", "told to give roles"),
    (
        check_roles,
        "infra/README.md",
        "| app | Key Vault Secrets User |",
        "| app | Key Vault Administrator |",
        "README.md",
    ),
    # The gate for malware.
    (
        check_agreement,
        SETTINGS,
        "malwareScanning ? 'required' : 'off'",
        "'off'",
        "DROPBELL_MALWARE_SCANNING does not follow",
    ),
    (
        check_agreement,
        "infra/main.bicep",
        "module malware 'modules/malware-scanning.bicep' = if (malwareScanning) {",
        "module malware 'modules/malware-scanning.bicep' = if (communicationServices) {",
        "malware does not follow",
    ),
    (
        check_agreement,
        ROLES,
        "resource appVerdicts 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (malwareScanning) {",
        "resource appVerdicts 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!malwareScanning) {",
        "appVerdicts does not follow",
    ),
    (
        check_agreement,
        "infra/main.bicep",
        "    malwareScanning: malwareScanning\n    furtherSettings",
        "    malwareScanning: false\n    furtherSettings",
        "settings.malwareScanning is not",
    ),
    (
        check_agreement,
        "infra/main.bicep",
        "dependsOn: [access, malware]",
        "dependsOn: [access]",
        "before the",
    ),
    (
        check_roles,
        ROLES,
        "blobs/tags/read']",
        "blobs/tags/write']",
        "the role Dropbell Blob Tag Reader allows",
    ),
    (
        check_roles,
        ROLES,
        "        actions: []\n",
        "        actions: ['*/read']\n",
        "the role Dropbell Blob Tag Reader allows",
    ),
    (
        check_roles,
        ROLES,
        "assignableScopes: [resourceGroup().id]",
        "assignableScopes: [subscription().id]",
        "outside of the resource group",
    ),
    (check_roles, ROLES, "'Dropbell Blob Tag Reader')", "'Reader')", "does not follow from resource group"),
    (check_roles, ROLES, "roleDefinitionId: tagReader.id", "roleDefinitionId: uploads.id", "role None"),
    # Scopes and app roles.
    (check_permissions, "infra/entra.bicep", "'Files.Read'", "'Files.List'", "scope Files.Read is missing"),
    (
        check_permissions,
        "infra/entra.bicep",
        "'Operations.Redrive'",
        "'Operations.Run'",
        "knows no app role Operations.Run",
    ),
    (
        check_permissions,
        "infra/entra.bicep",
        "'Deliveries.Read'",
        "'Files.Read'",
        "scope Files.Read is there twice",
    ),
    (
        check_permissions,
        "infra/entra.bicep",
        "requestedAccessTokenVersion: 2",
        "requestedAccessTokenVersion: 1",
        "is not 2",
    ),
    (
        check_permissions,
        "infra/entra.bicep",
        "['User', 'Application']",
        "['Application']",
        "Operations.Read is not for",
    ),
    # Queries and alerts.
    (
        check_operations,
        "infra/queries/story.kql",
        "order by timestamp asc",
        "order by timestamp",
        "story.kql as it is",
    ),
    (
        check_operations,
        "docs/operations.md",
        "### sweep-findings\n",
        "",
        "does not explain the alert sweep-findings",
    ),
    (
        check_operations,
        "infra/modules/alerts.bicep",
        "name: 'queue-stuck'",
        "name: 'queue-slow'",
        "queue-slow",
    ),
    (
        check_operations,
        "infra/modules/alerts.bicep",
        "queries/slow-deliveries.kql",
        "queries/slow.kql",
        "slow-deliveries.kql is in no",
    ),
]
"""The check, the file, what stands there, what takes its place, and what the finding says."""
