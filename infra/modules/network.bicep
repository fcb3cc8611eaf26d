// A virtual network: one subnet that the functions leave through, one for private endpoints, names for the latter.
// The NAT gateway gives webhooks a fixed address that receivers can allow.

param name string
param location string
param tags object
param addressPrefix string

var zones = [
  { key: 'blob', name: 'privatelink.blob.${environment().suffixes.storage}' }
  { key: 'queue', name: 'privatelink.queue.${environment().suffixes.storage}' }
  { key: 'table', name: 'privatelink.table.${environment().suffixes.storage}' }
  { key: 'vault', name: 'privatelink.vaultcore.azure.net' }
  { key: 'serviceBus', name: 'privatelink.servicebus.windows.net' }
  { key: 'sites', name: 'privatelink.azurewebsites.net' }
]

module nat 'br/public:avm/res/network/nat-gateway:2.1.0' = {
  params: {
    name: 'ng-${name}'
    location: location
    tags: tags
    availabilityZone: -1
    publicIPAddresses: [
      { name: 'pip-${name}' }
    ]
    enableTelemetry: false
  }
}

module network 'br/public:avm/res/network/virtual-network:0.10.1' = {
  params: {
    name: name
    location: location
    tags: tags
    addressPrefixes: [addressPrefix]
    subnets: [
      {
        name: 'functions'
        addressPrefix: cidrSubnet(addressPrefix, 25, 0)
        delegation: 'Microsoft.App/environments'
        natGatewayResourceId: nat.outputs.resourceId
        defaultOutboundAccess: false
      }
      {
        name: 'endpoints'
        addressPrefix: cidrSubnet(addressPrefix, 25, 1)
        privateEndpointNetworkPolicies: 'Enabled'
        defaultOutboundAccess: false
      }
    ]
    enableTelemetry: false
  }
}

module dnsZones 'br/public:avm/res/network/private-dns-zone:0.8.1' = [
  for zone in zones: {
    params: {
      name: zone.name
      tags: tags
      virtualNetworkLinks: [
        { virtualNetworkResourceId: network.outputs.resourceId }
      ]
      enableTelemetry: false
    }
  }
]

output appSubnetId string = network.outputs.subnetResourceIds[0]
output endpointSubnetId string = network.outputs.subnetResourceIds[1]
output dnsZoneIds object = {
  blob: dnsZones[0].outputs.resourceId
  queue: dnsZones[1].outputs.resourceId
  table: dnsZones[2].outputs.resourceId
  vault: dnsZones[3].outputs.resourceId
  serviceBus: dnsZones[4].outputs.resourceId
  sites: dnsZones[5].outputs.resourceId
}
