// Every role that is given, here and nowhere else, each at the narrowest scope that works. The same list, for review:
// infra/check/role_list.py (the check compares) and README.md.

param appPrincipalId string
param eventTopicPrincipalId string
param hostStorageName string
param dataStorageName string
param uploadsContainer string
param eventDeadLetterContainer string
param table string
param poisonQueue string
param serviceBusName string
param queue string
param vaultName string
param secretName string
param insightsName string
param communicationName string
param malwareScanning bool

var roleIds = {
  StorageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  StorageBlobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  StorageBlobDelegator: 'db58b8e5-c6ad-4a2a-8342-4190687cbf4a'
  StorageQueueDataContributor: '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  StorageTableDataContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  ServiceBusDataReceiver: '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'
  ServiceBusDataSender: '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
  KeyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  MonitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
  CommunicationAndEmailServiceOwner: '09976791-48a7-449e-bb21-39d1a415f350'
}

resource hostStorage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: hostStorageName
}

resource dataStorage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: dataStorageName
}

resource uploads 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' existing = {
  name: '${dataStorageName}/default/${uploadsContainer}'
}

resource eventDeadLetters 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' existing = {
  name: '${dataStorageName}/default/${eventDeadLetterContainer}'
}

resource rows 'Microsoft.Storage/storageAccounts/tableServices/tables@2024-01-01' existing = {
  name: '${dataStorageName}/default/${table}'
}

resource poison 'Microsoft.Storage/storageAccounts/queueServices/queues@2024-01-01' existing = {
  name: '${dataStorageName}/default/${poisonQueue}'
}

resource notifications 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = {
  name: '${serviceBusName}/${queue}'
}

resource secretsKey 'Microsoft.KeyVault/vaults/secrets@2024-11-01' existing = {
  name: '${vaultName}/${secretName}'
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource communication 'Microsoft.Communication/communicationServices@2025-09-01' existing = {
  name: empty(communicationName) ? 'none' : communicationName // a name has to be well-formed even where it is not used
}

// Verdicts stand in index tags, which Storage Blob Data Contributor cannot read and Storage Blob Data Owner could also write:
// who can write them can say that malware is clean. Hence a role of our own.
// https://learn.microsoft.com/rest/api/storageservices/get-blob-tags#permissions
var tagReaderId = guid(resourceGroup().id, 'Dropbell Blob Tag Reader')

resource tagReader 'Microsoft.Authorization/roleDefinitions@2022-04-01' = if (malwareScanning) {
  name: tagReaderId
  properties: {
    type: 'CustomRole'
    roleName: 'Dropbell Blob Tag Reader (${resourceGroup().name})' // unique in the tenant
    description: 'Reads the index tags of blobs, and nothing else'
    assignableScopes: [resourceGroup().id]
    permissions: [
      {
        actions: []
        notActions: []
        dataActions: ['Microsoft.Storage/storageAccounts/blobServices/containers/blobs/tags/read']
        notDataActions: []
      }
    ]
  }
}

resource appVerdicts 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (malwareScanning) {
  scope: uploads
  name: guid(uploads.id, appPrincipalId, tagReaderId)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: tagReader.id
    description: 'The verdicts of the malware scanner'
  }
}

resource appHostBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: hostStorage
  name: guid(hostStorage.id, appPrincipalId, roleIds.StorageBlobDataOwner)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataOwner)
    description: 'The host\'s leases, keys and code package (it is the host that asks for Owner)'
  }
}

resource appHostQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: hostStorage
  name: guid(hostStorage.id, appPrincipalId, roleIds.StorageQueueDataContributor)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageQueueDataContributor)
    description: 'The blob trigger\'s internal queue'
  }
}

resource appHostTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: hostStorage
  name: guid(hostStorage.id, appPrincipalId, roleIds.StorageTableDataContributor)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageTableDataContributor)
    description: 'The host\'s diagnostic events'
  }
}

resource appUploads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: uploads
  name: guid(uploads.id, appPrincipalId, roleIds.StorageBlobDataContributor)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataContributor)
    description: 'Uploads, their blocks and metadata'
  }
}

resource appDelegation 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: dataStorage
  name: guid(dataStorage.id, appPrincipalId, roleIds.StorageBlobDelegator)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDelegator)
    description: 'Signs URLs of uploads and downloads; reads and writes nothing by itself'
  }
}

resource appRows 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: rows
  name: guid(rows.id, appPrincipalId, roleIds.StorageTableDataContributor)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageTableDataContributor)
    description: 'Files, subscriptions and deliveries'
  }
}

resource appPoison 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: poison
  name: guid(poison.id, appPrincipalId, roleIds.StorageQueueDataContributor)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageQueueDataContributor)
    description: 'Where the blob trigger puts what failed five times'
  }
}

resource appReceives 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: notifications
  name: guid(notifications.id, appPrincipalId, roleIds.ServiceBusDataReceiver)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.ServiceBusDataReceiver)
    description: 'Receives notifications and looks at dead letters'
  }
}

resource appSends 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: notifications
  name: guid(notifications.id, appPrincipalId, roleIds.ServiceBusDataSender)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.ServiceBusDataSender)
    description: 'Sends, schedules and redrives notifications'
  }
}

resource appSecretsKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: secretsKey
  name: guid(secretsKey.id, appPrincipalId, roleIds.KeyVaultSecretsUser)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.KeyVaultSecretsUser)
    description: 'Reads this one secret'
  }
}

resource appTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: insights
  name: guid(insights.id, appPrincipalId, roleIds.MonitoringMetricsPublisher)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.MonitoringMetricsPublisher)
    description: 'Sends telemetry without a key'
  }
}

resource appMail 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(communicationName)) {
  scope: communication
  name: guid(communication.id, appPrincipalId, roleIds.CommunicationAndEmailServiceOwner)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.CommunicationAndEmailServiceOwner)
    description: 'Sends e-mail; there is no narrower built-in role'
  }
}

resource eventsDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: eventDeadLetters
  name: guid(eventDeadLetters.id, eventTopicPrincipalId, roleIds.StorageBlobDataContributor)
  properties: {
    principalId: eventTopicPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataContributor)
    description: 'Event Grid keeps the events that it could not deliver'
  }
}
