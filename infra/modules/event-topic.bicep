// Blob Storage's events. The subscription to them comes after the code: events.bicep at the top says why.

param name string
param location string
param tags object
param storageAccountId string
param workspaceId string

module topic 'br/public:avm/res/event-grid/system-topic:0.7.0' = {
  params: {
    name: name
    location: location
    tags: tags
    source: storageAccountId
    topicType: 'Microsoft.Storage.StorageAccounts'
    managedIdentities: { systemAssigned: true } // writes the dead letters
    diagnosticSettings: [
      {
        workspaceResourceId: workspaceId
        logCategoriesAndGroups: [
          { category: 'DeliveryFailures' }
        ]
        metricCategories: []
      }
    ]
    enableTelemetry: false
  }
}

output resourceId string = topic.outputs.resourceId
output name string = topic.outputs.name
output principalId string = topic.outputs.?systemAssignedMIPrincipalId ?? ''
