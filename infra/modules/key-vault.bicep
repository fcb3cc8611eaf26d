// Keeps the key that seals webhook secrets. Roles only, no access policies; nothing is gone for good before 90 days.

param name string
param location string
param tags object
param workspaceId string
param endpointSubnetId string
param dnsZoneIds object

var private = !empty(endpointSubnetId)

module vault 'br/public:avm/res/key-vault/vault:0.14.0' = {
  params: {
    name: name
    location: location
    tags: tags
    sku: 'standard'
    enableRbacAuthorization: true
    enablePurgeProtection: true
    softDeleteRetentionInDays: 90
    enableVaultForDeployment: false
    enableVaultForTemplateDeployment: false
    enableVaultForDiskEncryption: false
    publicNetworkAccess: private ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: private ? 'Deny' : 'Allow'
    }
    diagnosticSettings: [
      {
        workspaceResourceId: workspaceId
        logCategoriesAndGroups: [
          { category: 'AuditEvent' }
        ]
        metricCategories: []
      }
    ]
    privateEndpoints: private
      ? [
          {
            service: 'vault'
            subnetResourceId: endpointSubnetId
            privateDnsZoneGroup: {
              privateDnsZoneGroupConfigs: [
                { privateDnsZoneResourceId: dnsZoneIds.?vault ?? '' }
              ]
            }
          }
        ]
      : []
    enableTelemetry: false
  }
}

output name string = vault.outputs.name
