// Where telemetry goes: a workspace, and Application Insights on it that takes no key, only identities.

param workspaceName string
param insightsName string
param location string
param tags object
param retentionDays int
param dailyCapGB string

module workspace 'br/public:avm/res/operational-insights/workspace:0.16.1' = {
  params: {
    name: workspaceName
    location: location
    tags: tags
    dataRetention: retentionDays
    dailyQuotaGb: dailyCapGB
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
    forceCmkForQuery: false // it would forbid the queries of alerts where no storage account of one's own is linked
    enableTelemetry: false
  }
}

module insights 'br/public:avm/res/insights/component:0.8.0' = {
  params: {
    name: insightsName
    location: location
    tags: tags
    workspaceResourceId: workspace.outputs.resourceId
    applicationType: 'web'
    disableLocalAuth: true
    disableIpMasking: false
    enableTelemetry: false
  }
}

output workspaceId string = workspace.outputs.resourceId
output insightsId string = insights.outputs.resourceId
output insightsName string = insights.outputs.name
@description('No secret: with local authentication off, nothing can be sent with it alone.')
output insightsConnectionString string = insights.outputs.connectionString
