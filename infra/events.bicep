// The subscription to Blob Storage's events, deployed after the code:
//   az deployment group create -g <resource group> -f infra/events.bicep -p functionAppName=… eventTopicName=… dataStorageName=…
//
// Event Grid delivers to the Functions host's webhook, which asks for a key that the host makes when it first loads a blob trigger.
// So the key is read here, where it is used, at the time of deployment: it is in no parameter, output or pipeline variable, and
// Event Grid does not show it again. Deploying this once more is harmless, and is what has to be done after that key was renewed.
targetScope = 'resourceGroup'

param functionAppName string
param eventTopicName string
param dataStorageName string

@description('As in main.bicep.')
param uploadsContainer string = 'uploads'

@description('As in main.bicep.')
param eventDeadLetterContainer string = 'event-dead-letters'

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: functionAppName
}

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: dataStorageName
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: eventTopicName
}

// No module: it would take the address, and with it the key, as a parameter that the deployment history shows.
resource subscription 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: 'uploads'
  properties: {
    destination: {
      endpointType: 'WebHook'
      properties: {
        endpointUrl: 'https://${app.properties.defaultHostName}/runtime/webhooks/blobs?functionName=Host.Functions.announce&code=${listKeys('${app.id}/host/default', '2024-11-01').systemKeys.blobs_extension}'
        maxEventsPerBatch: 1
      }
    }
    eventDeliverySchema: 'EventGridSchema'
    filter: {
      includedEventTypes: ['Microsoft.Storage.BlobCreated']
      subjectBeginsWith: '/blobServices/default/containers/${uploadsContainer}/blobs/'
      advancedFilters: [
        {
          operatorType: 'StringIn'
          key: 'data.api'
          values: ['PutBlob', 'PutBlockList']
        }
      ]
    }
    retryPolicy: {
      maxDeliveryAttempts: 30
      eventTimeToLiveInMinutes: 1440
    }
    deadLetterWithResourceIdentity: {
      identity: {
        type: 'SystemAssigned'
      }
      deadLetterDestination: {
        endpointType: 'StorageBlob'
        properties: {
          resourceId: storage.id
          blobContainerName: eventDeadLetterContainer
        }
      }
    }
  }
}
