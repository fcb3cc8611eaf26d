// Who may knock at the function app's public address. Closed, only Event Grid (it cannot come through a private endpoint, and has to
// show the host's key besides) and our own Front Door may. Deployments go to the management site, which asks for an Entra token.

param functionAppName string
param closed bool
param frontDoorId string

var eventGrid = {
  name: 'event-grid'
  description: 'Blob events'
  action: 'Allow'
  priority: 100
  tag: 'ServiceTag'
  ipAddress: 'AzureEventGrid'
}
var door = {
  name: 'front-door'
  description: 'Our Front Door, told by its id'
  action: 'Allow'
  priority: 200
  tag: 'ServiceTag'
  ipAddress: 'AzureFrontDoor.Backend'
  headers: {
    'x-azure-fdid': [frontDoorId]
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: functionAppName
}

resource access 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'web'
  properties: {
    ipSecurityRestrictionsDefaultAction: closed ? 'Deny' : 'Allow'
    ipSecurityRestrictions: !closed ? [] : empty(frontDoorId) ? [eventGrid] : [eventGrid, door]
    scmIpSecurityRestrictionsDefaultAction: 'Allow'
    scmIpSecurityRestrictionsUseMain: false
  }
}
