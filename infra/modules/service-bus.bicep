// The queue of notifications. Its settings are those of the local broker and of Microsoft's emulator: one file for all three.

param name string
param location string
param tags object
param tier string
param units int
param endpointSubnetId string
param dnsZoneIds object

var queues = loadJsonContent('../../local/service_bus.config.json').UserConfig.Namespaces[0].Queues
var premium = tier == 'Premium'
var private = !empty(endpointSubnetId)

module namespace 'br/public:avm/res/service-bus/namespace:0.17.0' = {
  params: {
    name: name
    location: location
    tags: tags
    skuObject: premium ? { name: 'Premium', capacity: units } : { name: 'Standard' }
    zoneRedundant: premium
    minimumTlsVersion: '1.2'
    disableLocalAuth: true
    authorizationRules: []
    publicNetworkAccess: private ? 'Disabled' : 'Enabled'
    queues: [
      for queue in queues: {
        name: queue.Name
        lockDuration: queue.Properties.LockDuration
        maxDeliveryCount: queue.Properties.MaxDeliveryCount
        requiresDuplicateDetection: queue.Properties.RequiresDuplicateDetection
        duplicateDetectionHistoryTimeWindow: queue.Properties.DuplicateDetectionHistoryTimeWindow
        defaultMessageTimeToLive: queue.Properties.DefaultMessageTimeToLive
        deadLetteringOnMessageExpiration: queue.Properties.DeadLetteringOnMessageExpiration
        requiresSession: queue.Properties.RequiresSession
        maxSizeInMegabytes: 5120
      }
    ]
    privateEndpoints: private
      ? [
          {
            subnetResourceId: endpointSubnetId
            privateDnsZoneGroup: {
              privateDnsZoneGroupConfigs: [
                { privateDnsZoneResourceId: dnsZoneIds.?serviceBus ?? '' }
              ]
            }
          }
        ]
      : []
    enableTelemetry: false
  }
}

output resourceId string = namespace.outputs.resourceId
output name string = namespace.outputs.name
output host string = '${namespace.outputs.name}.servicebus.windows.net'
output queue string = queues[0].Name
