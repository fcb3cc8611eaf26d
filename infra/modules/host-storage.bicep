// The Functions host's own account: code package, leases, host keys, the blob trigger's internal queue. No user data.
// Apart from the data, so that nobody who may read one can read the other, and host traffic raises no events.

param name string
param location string
param tags object
param skuName string
param packageContainer string
param endpointSubnetId string
param dnsZoneIds object

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
    publicNetworkAccess: private ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: private ? 'Deny' : 'Allow'
    }
    blobServices: {
      containers: [
        { name: packageContainer }
      ]
      deleteRetentionPolicyEnabled: true
      deleteRetentionPolicyDays: 7
      containerDeleteRetentionPolicyEnabled: true
      containerDeleteRetentionPolicyDays: 7
    }
    privateEndpoints: private ? endpoints : []
    enableTelemetry: false
  }
}

output name string = account.outputs.name
output blobEndpoint string = account.outputs.primaryBlobEndpoint
