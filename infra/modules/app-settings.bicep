// Every setting of the function app, here and nowhere else. Empty means not set (shared/settings.py).
// No connection string with a key: the identity is let in by roles.bicep.

param functionAppName string
param clientId string
param hostStorageName string
param dataStorageName string
param serviceBusHost string
param uploadsContainer string
param table string
param queue string
param apiClientId string
param publicUrl string
param contentUrl string
param secretsKeyUri string
param corsAllowedOrigins string[]
param mailEndpoint string
param mailFrom string
param insightsConnectionString string
param traceSampleRatio string
param malwareScanning bool
param furtherSettings object

var suffix = environment().suffixes.storage
var settings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: clientId
  AzureWebJobsStorage__blobServiceUri: 'https://${hostStorageName}.blob.${suffix}'
  AzureWebJobsStorage__queueServiceUri: 'https://${hostStorageName}.queue.${suffix}'
  AzureWebJobsStorage__tableServiceUri: 'https://${hostStorageName}.table.${suffix}'

  DropbellStorage__credential: 'managedidentity'
  DropbellStorage__clientId: clientId
  DropbellStorage__blobServiceUri: 'https://${dataStorageName}.blob.${suffix}'
  DropbellStorage__queueServiceUri: 'https://${dataStorageName}.queue.${suffix}' // the blob trigger's poison queue
  DropbellStorage__tableServiceUri: 'https://${dataStorageName}.table.${suffix}'

  DropbellServiceBus__credential: 'managedidentity'
  DropbellServiceBus__clientId: clientId
  DropbellServiceBus__fullyQualifiedNamespace: serviceBusHost

  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${clientId};Authorization=AAD'

  DROPBELL_BLOB_TRIGGER_SOURCE: 'EventGrid'
  DROPBELL_SWEEP_SCHEDULE: '0 * * * * *'
  DROPBELL_UPLOADS_CONTAINER: uploadsContainer
  DROPBELL_TABLE: table
  DROPBELL_QUEUE: queue
  DROPBELL_TOKEN_ISSUER: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
  DROPBELL_TOKEN_AUDIENCES: apiClientId
  DROPBELL_PUBLIC_URL: publicUrl
  DROPBELL_CONTENT_URL: contentUrl
  DROPBELL_SECRETS_KEY: '@Microsoft.KeyVault(SecretUri=${secretsKeyUri})'
  DROPBELL_CORS_ALLOWED_ORIGINS: join(corsAllowedOrigins, ',')
  DROPBELL_MAIL_ENDPOINT: mailEndpoint
  DROPBELL_MAIL_FROM: mailFrom
  DROPBELL_MAIL_CLIENT_ID: empty(mailEndpoint) ? '' : clientId
  DROPBELL_TRACE_SAMPLE_RATIO: traceSampleRatio
  DROPBELL_MALWARE_SCANNING: malwareScanning ? 'required' : 'off'
}

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: functionAppName
}

resource appSettings 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'appsettings'
  properties: union(settings, furtherSettings)
}
