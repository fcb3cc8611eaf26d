// The functions, on Flex Consumption. Their settings come afterwards (app-settings.bicep): some name the app's own address.

param name string
param planName string
param location string
param tags object
param identityId string
param packageUrl string
param instanceMemoryMB int
param maximumInstances int
param httpConcurrency int
param alwaysReady object
param updateStrategy string
param zoneRedundant bool
param subnetId string
param endpointSubnetId string
param dnsZoneIds object

var readyGroups = [
  { name: 'http', instanceCount: alwaysReady.?http ?? 0 }
  { name: 'blob', instanceCount: alwaysReady.?blob ?? 0 }
  { name: 'function:deliver', instanceCount: alwaysReady.?deliver ?? 0 }
]

module plan 'br/public:avm/res/web/serverfarm:0.7.0' = {
  params: {
    name: planName
    location: location
    tags: tags
    skuName: 'FC1'
    kind: 'functionapp'
    reserved: true
    zoneRedundant: zoneRedundant
    enableTelemetry: false
  }
}

module app 'br/public:avm/res/web/site:0.24.0' = {
  params: {
    name: name
    location: location
    tags: union(tags, { 'azd-service-name': 'api' })
    kind: 'functionapp,linux'
    serverFarmResourceId: plan.outputs.resourceId
    managedIdentities: {
      userAssignedResourceIds: [identityId]
    }
    keyVaultAccessIdentityResourceId: identityId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstances
        alwaysReady: filter(readyGroups, group => group.instanceCount > 0)
        triggers: {
          http: {
            perInstanceConcurrency: httpConcurrency
          }
        }
      }
      siteUpdateStrategy: {
        type: updateStrategy
      }
    }
    siteConfig: {
      alwaysOn: false
      ftpsState: 'Disabled'
      http20Enabled: true
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
    }
    httpsOnly: true
    clientAffinityEnabled: false
    basicPublishingCredentialsPolicies: [
      { name: 'ftp', allow: false }
      { name: 'scm', allow: false }
    ]
    publicNetworkAccess: 'Enabled' // Event Grid comes this way; access.bicep says who else may
    virtualNetworkSubnetResourceId: empty(subnetId) ? null : subnetId
    privateEndpoints: empty(endpointSubnetId)
      ? []
      : [
          {
            service: 'sites'
            subnetResourceId: endpointSubnetId
            privateDnsZoneGroup: {
              privateDnsZoneGroupConfigs: [
                { privateDnsZoneResourceId: dnsZoneIds.?sites ?? '' }
              ]
            }
          }
        ]
    enableTelemetry: false
  }
}

output resourceId string = app.outputs.resourceId
output name string = app.outputs.name
output host string = app.outputs.defaultHostname
