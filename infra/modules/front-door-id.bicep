// The header value by which a request from our Front Door is told from one of somebody else's.

param profileName string

resource profile 'Microsoft.Cdn/profiles@2025-06-01' existing = {
  name: profileName
}

output frontDoorId string = profile.properties.frontDoorId
