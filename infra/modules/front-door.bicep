// Azure Front Door before the API and the files, with a limit for each client address. In Premium also managed rules, and private
// link to both origins, whose connections have to be approved once (../approve_front_door.sh).

param name string
param firewallName string
param tags object
param tier string
param location string
param functionAppId string
param functionAppHost string
param storageId string
param blobEndpoint string
param uploadsContainer string
param requestsPerMinute int
param workspaceId string

var premium = tier == 'Premium'
var sku = premium ? 'Premium_AzureFrontDoor' : 'Standard_AzureFrontDoor'
var endpointName = take(name, 46)
var blobHost = replace(replace(blobEndpoint, 'https://', ''), '/', '')
// One origin in each group: nothing to choose between, so nothing is probed.
var loadBalancing = {
  sampleSize: 4
  successfulSamplesRequired: 3
  additionalLatencyInMilliseconds: 50
}
var rateLimit = {
  name: 'ClientRequestRate'
  priority: 100
  enabledState: 'Enabled'
  ruleType: 'RateLimitRule'
  rateLimitDurationInMinutes: 1
  rateLimitThreshold: requestsPerMinute
  action: 'Block'
  matchConditions: [
    {
      matchVariable: 'RequestUri'
      operator: 'Contains'
      negateCondition: false
      matchValue: ['/']
      transforms: []
    }
  ]
}
var managedRuleSets = [
  {
    ruleSetType: 'Microsoft_DefaultRuleSet'
    ruleSetVersion: '2.1'
    ruleSetAction: 'Block'
    ruleGroupOverrides: []
    exclusions: []
  }
  {
    ruleSetType: 'Microsoft_BotManagerRuleSet'
    ruleSetVersion: '1.0'
    ruleGroupOverrides: []
    exclusions: []
  }
]

module firewall 'br/public:avm/res/network/front-door-web-application-firewall-policy:0.3.3' = {
  params: {
    name: firewallName
    tags: tags
    sku: sku
    policySettings: {
      enabledState: 'Enabled'
      mode: 'Prevention'
      requestBodyCheck: 'Disabled' // bodies are files: a rule that reads them finds attacks in every archive
    }
    customRules: {
      rules: [rateLimit]
    }
    managedRules: {
      managedRuleSets: premium ? managedRuleSets : []
    }
    enableTelemetry: false
  }
}

module profile 'br/public:avm/res/cdn/profile:0.20.0' = {
  params: {
    name: name
    location: 'global'
    tags: tags
    sku: sku
    originResponseTimeoutSeconds: 240
    originGroups: [
      {
        name: 'api'
        loadBalancingSettings: loadBalancing
        origins: [
          {
            name: 'functions'
            hostName: functionAppHost
            originHostHeader: functionAppHost
            sharedPrivateLinkResource: premium
              ? {
                  privateLink: { id: functionAppId }
                  privateLinkLocation: location
                  groupId: 'sites'
                  requestMessage: 'Dropbell API'
                }
              : null
          }
        ]
      }
      {
        name: 'files'
        loadBalancingSettings: loadBalancing
        origins: [
          {
            name: 'blobs'
            hostName: blobHost
            originHostHeader: blobHost
            sharedPrivateLinkResource: premium
              ? {
                  privateLink: { id: storageId }
                  privateLinkLocation: location
                  groupId: 'blob'
                  requestMessage: 'Dropbell files'
                }
              : null
          }
        ]
      }
    ]
    afdEndpoints: [
      {
        name: endpointName
        routes: [
          {
            name: 'api'
            originGroupName: 'api'
            patternsToMatch: ['/api/*']
            supportedProtocols: ['Http', 'Https']
            httpsRedirect: 'Enabled'
            forwardingProtocol: 'HttpsOnly'
            linkToDefaultDomain: 'Enabled'
          }
          {
            // Not cached: a copy at the edge would outlive the signature of its URL, and the file itself.
            name: 'files'
            originGroupName: 'files'
            patternsToMatch: ['/${uploadsContainer}/*']
            supportedProtocols: ['Http', 'Https']
            httpsRedirect: 'Enabled'
            forwardingProtocol: 'HttpsOnly'
            linkToDefaultDomain: 'Enabled'
          }
        ]
      }
    ]
    securityPolicies: [
      {
        name: 'firewall'
        wafPolicyResourceId: firewall.outputs.resourceId
        associations: [
          {
            domains: [
              { id: resourceId('Microsoft.Cdn/profiles/afdEndpoints', name, endpointName) }
            ]
            patternsToMatch: ['/*']
          }
        ]
      }
    ]
    diagnosticSettings: [
      {
        workspaceResourceId: workspaceId
        logCategoriesAndGroups: [
          { category: 'FrontDoorWebApplicationFirewallLog' }
        ]
        metricCategories: []
      }
    ]
    enableTelemetry: false
  }
}

output host string = profile.outputs.frontDoorEndpointHostNames[0]
output frontDoorId string = frontDoorId.outputs.frontDoorId

// The id that Front Door puts on each request: known once the profile is there.
module frontDoorId 'front-door-id.bicep' = {
  params: {
    profileName: profile.outputs.name
  }
}
