// What users entrust to Dropbell: the uploads and the table of files, subscriptions and deliveries.

param name string
param location string
param tags object
param skuName string
param uploadsContainer string
param eventDeadLetterContainer string
param table string
param corsAllowedOrigins string[]
param endpointSubnetId string
param dnsZoneIds object

// The Functions host's name for it; made here so that the identity needs no right to make queues.
var poisonQueue = 'webjobs-blobtrigger-poison'
// Where direct uploads and parts wait that are no file yet. An upload lives for six days at most (DROPBELL_UPLOAD_EXPIRES_SECONDS).
var stagingFolder = 'incoming/'
var stagingPrefix = '${uploadsContainer}/${stagingFolder}'
var private = !empty(endpointSubnetId)
var endpoints = [
  for service in ['blob', 'queue', 'table']: {
    service: service
    subnetResourceId: endpointSubnetId
    privateDnsZoneGroup: {
      privateDnsZoneGroupConfigs: [
        { privateDnsZoneResourceId: dnsZoneIds[?service] ?? '' }
      ]
    }
  }
]
var browserRule = {
  allowedOrigins: corsAllowedOrigins
  allowedMethods: ['GET', 'HEAD', 'PUT', 'OPTIONS']
  allowedHeaders: ['content-type', 'content-md5', 'if-none-match', 'range', 'x-ms-*']
  exposedHeaders: ['etag', 'content-length', 'content-range', 'x-ms-request-id', 'x-ms-error-code']
  maxAgeInSeconds: 3600
}

module account 'br/public:avm/res/storage/storage-account:0.33.0' = {
  params: {
    name: name
    location: location
    tags: tags
    skuName: skuName
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    // Not 'Disabled', even when private: then the firewall's exception would be worth nothing, through which Event Grid writes
    // its dead letters. The firewall refuses everybody else.
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: private ? 'Deny' : 'Allow'
    }
    blobServices: {
      containers: [
        { name: uploadsContainer }
        { name: eventDeadLetterContainer }
      ]
      deleteRetentionPolicyEnabled: true
      deleteRetentionPolicyDays: 7
      containerDeleteRetentionPolicyEnabled: true
      containerDeleteRetentionPolicyDays: 30
      corsRules: empty(corsAllowedOrigins) ? [] : [browserRule]
    }
    tableServices: {
      tables: [
        { name: table }
      ]
    }
    queueServices: {
      queues: [
        { name: poisonQueue }
      ]
    }
    // Files that expire or are deleted, and uploads that are never finished, are removed by the application's sweep, which keeps
    // the table true; unused blocks are dropped by Blob Storage itself after a week. Left for rules: what nobody owns any more.
    managementPolicyRules: [
      {
        name: 'event-dead-letters-after-30-days'
        enabled: true
        type: 'Lifecycle'
        definition: {
          filters: {
            blobTypes: ['blockBlob']
            prefixMatch: ['${eventDeadLetterContainer}/']
          }
          actions: {
            baseBlob: {
              delete: { daysAfterModificationGreaterThan: 30 }
            }
          }
        }
      }
      {
        name: 'forgotten-staging-after-14-days'
        enabled: true
        type: 'Lifecycle'
        definition: {
          filters: {
            blobTypes: ['blockBlob']
            prefixMatch: [stagingPrefix]
          }
          actions: {
            baseBlob: {
              delete: { daysAfterModificationGreaterThan: 14 }
            }
          }
        }
      }
    ]
    privateEndpoints: private ? endpoints : []
    enableTelemetry: false
  }
}

output resourceId string = account.outputs.resourceId
output name string = account.outputs.name
output blobEndpoint string = account.outputs.primaryBlobEndpoint
output stagingPrefix string = stagingPrefix
output poisonQueue string = poisonQueue
