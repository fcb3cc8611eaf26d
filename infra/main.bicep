// Everything that Dropbell needs in one resource group. See README.md for each resource and why it is there.
// Before it: entra.bicep (app registrations). After the code is deployed: events.bicep (the event subscription).
targetScope = 'resourceGroup'

@description('Name of this environment; part of the names of what is made, and the value of the tag azd-env-name.')
@minLength(3)
@maxLength(20)
param environmentName string

@description('Region; the resource group\'s own when not given.')
param location string = resourceGroup().location

@description('Client id of the API\'s app registration: the audience of the tokens that are believed.')
@minLength(36)
@maxLength(36)
param apiClientId string

@description('Who is written to when an alert fires.')
param alertEmails string[] = []

@description('Premium has private endpoints, isolation and predictable latency, at about sixty times the price.')
@allowed(['Standard', 'Premium'])
param serviceBusTier string = 'Standard'

@description('Messaging units, in Premium only.')
@allowed([1, 2, 4, 8, 16])
param serviceBusUnits int = 1

@description('Memory of an instance; the processor share goes with it (0.25, 1, 2 cores).')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 512

@description('How far each group of functions scales out. The platform takes 40 to 1000.')
@minValue(40)
@maxValue(1000)
param maximumInstances int = 100

@description('Requests that one instance answers at the same time. A large upload holds up to 28 MiB meanwhile: 8 fit into 512 MB.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int = 8

@description('Instances that never go away: { http, blob, deliver }, each 0 when left out. Billed around the clock.')
param alwaysReady object = {}

@description('RollingUpdate lets running work end; Recreate cuts it off (everything survives that, but uploads under way have to resume).')
@allowed(['RollingUpdate', 'Recreate'])
param updateStrategy string = 'RollingUpdate'

@description('Instances are spread over availability zones, where the region has them for Flex Consumption.')
param zoneRedundant bool = false

@description('Redundancy of both storage accounts.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS', 'Standard_RAGRS', 'Standard_RAGZRS'])
param storageSku string = 'Standard_ZRS'

@description('Origins of web pages that may call the API and upload to Blob Storage, such as https://files.example.com.')
param corsAllowedOrigins string[] = []

@description('Base URL that clients use, when it is a domain of your own; Front Door\'s or the app\'s host name otherwise.')
param publicUrl string = ''

@description('Storage, Key Vault and (in Premium) Service Bus are reached through private endpoints only.')
param privateNetwork bool = false

@description('Address range of the virtual network; /24 or larger.')
param networkAddressPrefix string = '10.80.0.0/22'

@description('What stands in front of the API and the files. Premium has private link to both and managed firewall rules.')
@allowed(['None', 'Standard', 'Premium'])
param frontDoor string = 'None'

@description('Requests that one client address may make in a minute before the firewall of Front Door refuses more.')
@minValue(100)
param frontDoorRequestsPerMinute int = 3000

@description('Defender for Storage scans each upload; no file is announced or handed out before it is found clean (see README.md).')
param malwareScanning bool = false

@description('Gigabytes that are scanned in a month at most; what comes after is not scanned, and so not announced.')
@minValue(10)
param malwareScanningCapGB int = 1000

@description('Azure Communication Services for e-mail notifications, with a domain managed by Azure.')
param communicationServices bool = false

@description('Where Communication Services keeps its data.')
param communicationDataLocation string = 'Europe'

@description('Share of traces that is kept, 0 to 1; errors are kept always.')
param traceSampleRatio string = '0.1'

@description('Days that telemetry is kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 90

@description('Gigabytes of telemetry in a day at most, such as 1 or 0.5; -1 for no limit.')
param logDailyCapGB string = '-1'

@description('Further settings of the application by name, such as { DROPBELL_OWNER_QUOTA_BYTES: 1073741824 }; shared/settings.py knows them all. A secret goes in as a Key Vault reference, never as a value.')
param appSettings object = {}

@description('Tags of every resource.')
param tags object = {}

var token = uniqueString(resourceGroup().id, environmentName)
var allTags = union(tags, { 'azd-env-name': environmentName })
var names = {
  functionApp: 'func-${environmentName}-${token}'
  plan: 'plan-${environmentName}-${token}'
  identity: 'id-${environmentName}-${token}'
  hostStorage: 'st${token}host'
  dataStorage: 'st${token}data'
  serviceBus: 'sb-${token}'
  eventTopic: 'evgt-${environmentName}-${token}'
  vault: 'kv-${token}'
  workspace: 'log-${environmentName}-${token}'
  insights: 'appi-${environmentName}-${token}'
  network: 'vnet-${environmentName}-${token}'
  frontDoor: 'afd-${environmentName}-${token}'
  firewall: 'waf${token}'
  communication: 'acs-${environmentName}-${token}'
  email: 'mail-${environmentName}-${token}'
}
var uploadsContainer = 'uploads'
var table = 'dropbell'
var packageContainer = 'app-package'
var eventDeadLetterContainer = 'event-dead-letters'
var secretsKeyName = 'dropbell-secrets-key'
// Front Door Standard cannot go through a private link: it would be shut out of the storage account.
var frontDoorTier = privateNetwork && frontDoor == 'Standard'
  ? fail('frontDoor Standard has no private link: choose Premium or None with privateNetwork.')
  : frontDoor
var behindFrontDoor = frontDoorTier != 'None'

module identity 'br/public:avm/res/managed-identity/user-assigned-identity:0.6.0' = {
  params: {
    name: names.identity
    location: location
    tags: allTags
    enableTelemetry: false
  }
}

module monitoring 'modules/monitoring.bicep' = {
  params: {
    workspaceName: names.workspace
    insightsName: names.insights
    location: location
    tags: allTags
    retentionDays: logRetentionDays
    dailyCapGB: logDailyCapGB
  }
}

module network 'modules/network.bicep' = if (privateNetwork) {
  params: {
    name: names.network
    location: location
    tags: allTags
    addressPrefix: networkAddressPrefix
  }
}

var appSubnetId = privateNetwork ? network!.outputs.appSubnetId : ''
var endpointSubnetId = privateNetwork ? network!.outputs.endpointSubnetId : ''
var dnsZoneIds = privateNetwork ? network!.outputs.dnsZoneIds : {}

module hostStorage 'modules/host-storage.bicep' = {
  params: {
    name: names.hostStorage
    location: location
    tags: allTags
    skuName: storageSku
    packageContainer: packageContainer
    endpointSubnetId: endpointSubnetId
    dnsZoneIds: dnsZoneIds
  }
}

module dataStorage 'modules/data-storage.bicep' = {
  params: {
    name: names.dataStorage
    location: location
    tags: allTags
    skuName: storageSku
    uploadsContainer: uploadsContainer
    eventDeadLetterContainer: eventDeadLetterContainer
    table: table
    corsAllowedOrigins: corsAllowedOrigins
    endpointSubnetId: endpointSubnetId
    dnsZoneIds: dnsZoneIds
  }
}

module serviceBus 'modules/service-bus.bicep' = {
  params: {
    name: names.serviceBus
    location: location
    tags: allTags
    tier: serviceBusTier
    units: serviceBusUnits
    endpointSubnetId: serviceBusTier == 'Premium' ? endpointSubnetId : ''
    dnsZoneIds: dnsZoneIds
  }
}

module eventTopic 'modules/event-topic.bicep' = {
  params: {
    name: names.eventTopic
    location: location
    tags: allTags
    storageAccountId: dataStorage.outputs.resourceId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module keyVault 'modules/key-vault.bicep' = {
  params: {
    name: names.vault
    location: location
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
    endpointSubnetId: endpointSubnetId
    dnsZoneIds: dnsZoneIds
  }
}

module secretsKey 'modules/secrets-key.bicep' = {
  params: {
    vaultName: keyVault.outputs.name
    secretName: secretsKeyName
  }
}

module mail 'modules/mail.bicep' = if (communicationServices) {
  params: {
    communicationName: names.communication
    emailName: names.email
    dataLocation: communicationDataLocation
    tags: allTags
  }
}

module malware 'modules/malware-scanning.bicep' = if (malwareScanning) {
  params: {
    storageName: dataStorage.outputs.name
    workspaceId: monitoring.outputs.workspaceId
    capGB: malwareScanningCapGB
    excludedPrefix: dataStorage.outputs.stagingPrefix
  }
}

module roles 'modules/roles.bicep' = {
  params: {
    appPrincipalId: identity.outputs.principalId
    eventTopicPrincipalId: eventTopic.outputs.principalId
    hostStorageName: hostStorage.outputs.name
    dataStorageName: dataStorage.outputs.name
    uploadsContainer: uploadsContainer
    eventDeadLetterContainer: eventDeadLetterContainer
    table: table
    poisonQueue: dataStorage.outputs.poisonQueue
    serviceBusName: serviceBus.outputs.name
    queue: serviceBus.outputs.queue
    vaultName: keyVault.outputs.name
    secretName: secretsKey.outputs.secretName
    insightsName: monitoring.outputs.insightsName
    communicationName: communicationServices ? mail!.outputs.communicationName : ''
    malwareScanning: malwareScanning
  }
}

module functionApp 'modules/function-app.bicep' = {
  params: {
    name: names.functionApp
    planName: names.plan
    location: location
    tags: allTags
    identityId: identity.outputs.resourceId
    packageUrl: '${hostStorage.outputs.blobEndpoint}${packageContainer}'
    instanceMemoryMB: instanceMemoryMB
    maximumInstances: maximumInstances
    httpConcurrency: httpConcurrency
    alwaysReady: alwaysReady
    updateStrategy: updateStrategy
    zoneRedundant: zoneRedundant
    subnetId: appSubnetId
    endpointSubnetId: endpointSubnetId
    dnsZoneIds: dnsZoneIds
  }
  dependsOn: [roles]
}

module door 'modules/front-door.bicep' = if (behindFrontDoor) {
  params: {
    name: names.frontDoor
    firewallName: names.firewall
    tags: allTags
    tier: frontDoorTier
    location: location
    functionAppId: functionApp.outputs.resourceId
    functionAppHost: functionApp.outputs.host
    storageId: dataStorage.outputs.resourceId
    blobEndpoint: dataStorage.outputs.blobEndpoint
    uploadsContainer: uploadsContainer
    requestsPerMinute: frontDoorRequestsPerMinute
    workspaceId: monitoring.outputs.workspaceId
  }
}

module access 'modules/access.bicep' = {
  params: {
    functionAppName: functionApp.outputs.name
    closed: privateNetwork || behindFrontDoor
    frontDoorId: behindFrontDoor ? door!.outputs.frontDoorId : ''
  }
}

var frontDoorUrl = behindFrontDoor ? 'https://${door!.outputs.host}' : ''
var apiUrl = !empty(publicUrl) ? publicUrl : behindFrontDoor ? frontDoorUrl : 'https://${functionApp.outputs.host}'

module settings 'modules/app-settings.bicep' = {
  params: {
    functionAppName: functionApp.outputs.name
    clientId: identity.outputs.clientId
    hostStorageName: hostStorage.outputs.name
    dataStorageName: dataStorage.outputs.name
    serviceBusHost: serviceBus.outputs.host
    uploadsContainer: uploadsContainer
    table: table
    queue: serviceBus.outputs.queue
    apiClientId: apiClientId
    publicUrl: apiUrl
    contentUrl: frontDoorUrl
    secretsKeyUri: secretsKey.outputs.secretUri
    corsAllowedOrigins: corsAllowedOrigins
    mailEndpoint: communicationServices ? mail!.outputs.endpoint : ''
    mailFrom: communicationServices ? mail!.outputs.sender : ''
    insightsConnectionString: monitoring.outputs.insightsConnectionString
    traceSampleRatio: traceSampleRatio
    malwareScanning: malwareScanning
    furtherSettings: appSettings
  }
  dependsOn: [access, malware] // a file that came before there is a scanner would wait for its verdict in vain
}

module workbook 'modules/workbook.bicep' = {
  params: {
    displayName: 'Dropbell (${environmentName})'
    location: location
    tags: allTags
    insightsId: monitoring.outputs.insightsId
    serviceBusId: serviceBus.outputs.resourceId
  }
}

module alerts 'modules/alerts.bicep' = {
  params: {
    prefix: 'dropbell-${environmentName}'
    location: location
    tags: allTags
    emails: alertEmails
    insightsId: monitoring.outputs.insightsId
    workspaceId: monitoring.outputs.workspaceId
    serviceBusId: serviceBus.outputs.resourceId
    queue: serviceBus.outputs.queue
    eventTopicId: eventTopic.outputs.resourceId
    dataStorageId: dataStorage.outputs.resourceId
    malwareScanning: malwareScanning
  }
}

output DROPBELL_FUNCTION_APP string = functionApp.outputs.name
output DROPBELL_API_URL string = apiUrl
output DROPBELL_APP_HOST string = functionApp.outputs.host
output DROPBELL_HOST_STORAGE string = hostStorage.outputs.name
output DROPBELL_DATA_STORAGE string = dataStorage.outputs.name
output DROPBELL_EVENT_TOPIC string = eventTopic.outputs.name
output DROPBELL_SERVICE_BUS string = serviceBus.outputs.name
output DROPBELL_QUEUE string = serviceBus.outputs.queue
output DROPBELL_KEY_VAULT string = keyVault.outputs.name
output DROPBELL_APPLICATION_INSIGHTS string = monitoring.outputs.insightsName
output DROPBELL_FRONT_DOOR_HOST string = behindFrontDoor ? door!.outputs.host : ''
