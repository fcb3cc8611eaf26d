// The app registrations, in the tenant that the subscription belongs to; deployed before main.bicep, once for each environment:
//   az deployment group create -g <resource group> -f infra/entra.bicep -p environmentName=…
// Who deploys it needs Application.ReadWrite.All (or the directory role Application Administrator), not only rights in Azure.
// Names and meaning of scopes and roles are those of shared/identity/permissions.py; a test holds both equal.
targetScope = 'resourceGroup'

extension microsoftGraphV1

@description('As in main.bicep.')
param environmentName string

@description('Where the console may be sent back to after sign-in, such as https://files.example.com/.')
param consoleRedirectUris string[] = ['http://localhost:8080/']

// Part of every id below: other environments have other registrations, a second deployment finds the same ones.
var seed = '${subscription().subscriptionId}/${resourceGroup().name}/${environmentName}'

// What clients put before a scope: <this>/Files.Read. (api://<client id> would need the id before Entra has given it.) The audience of
// v2 tokens is the client id all the same.
var identifierUri = 'api://${tenant().tenantId}/dropbell-${environmentName}'

var scopes = [
  { value: 'Files.Read', title: 'Read your files', text: 'List, look at and download your files.' }
  { value: 'Files.ReadWrite', title: 'Read and change your files', text: 'Upload, change, share and delete your files, and read them.' }
  { value: 'Subscriptions.Manage', title: 'Manage your subscriptions', text: 'See and change who is told of your files, and where.' }
  { value: 'Deliveries.Read', title: 'See your deliveries', text: 'See what was sent to whom, and what came of it.' }
]
var roles = [
  { value: 'Files.Read.All', title: 'Read files', text: 'Read the files of the owner that a daemon acts for.', members: ['Application'] }
  { value: 'Files.ReadWrite.All', title: 'Read and change files', text: 'Upload, change, share and delete files, and read them.', members: ['Application'] }
  { value: 'Subscriptions.Manage.All', title: 'Manage subscriptions', text: 'See and change subscriptions.', members: ['Application'] }
  { value: 'Deliveries.Read.All', title: 'See deliveries', text: 'See what was sent to whom, and what came of it.', members: ['Application'] }
  { value: 'Operations.Read', title: 'Look at dead letters', text: 'For operators: see what could not be delivered, of every owner.', members: ['User', 'Application'] }
  { value: 'Operations.Redrive', title: 'Redrive dead letters', text: 'For operators: deliver again or discard what could not be delivered.', members: ['User', 'Application'] }
]

resource api 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: 'dropbell-api-${guid(seed, 'api')}'
  displayName: 'Dropbell API (${environmentName})'
  signInAudience: 'AzureADMyOrg'
  identifierUris: [identifierUri]
  api: {
    requestedAccessTokenVersion: 2
    oauth2PermissionScopes: [
      for scope in scopes: {
        id: guid(seed, 'scope', scope.value)
        value: scope.value
        type: 'User'
        isEnabled: true
        adminConsentDisplayName: scope.title
        adminConsentDescription: scope.text
        userConsentDisplayName: scope.title
        userConsentDescription: scope.text
      }
    ]
  }
  appRoles: [
    for role in roles: {
      id: guid(seed, 'role', role.value)
      value: role.value
      allowedMemberTypes: role.members
      isEnabled: true
      displayName: role.title
      description: role.text
    }
  ]
  optionalClaims: {
    accessToken: [
      { name: 'idtyp' } // tells an app-only token from a user's
    ]
  }
}

resource apiPrincipal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: api.appId
}

// The command line: a public client (no secret), in the browser or by device code.
resource commandLine 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: 'dropbell-cli-${guid(seed, 'cli')}'
  displayName: 'Dropbell command line (${environmentName})'
  signInAudience: 'AzureADMyOrg'
  isFallbackPublicClient: true
  publicClient: {
    redirectUris: ['http://localhost']
  }
  requiredResourceAccess: [
    {
      resourceAppId: api.appId
      resourceAccess: [
        for scope in scopes: {
          id: guid(seed, 'scope', scope.value)
          type: 'Scope'
        }
      ]
    }
  ]
}

resource commandLinePrincipal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: commandLine.appId
}

// The console: a page, so authorization code with PKCE and no secret either.
resource console 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: 'dropbell-console-${guid(seed, 'console')}'
  displayName: 'Dropbell console (${environmentName})'
  signInAudience: 'AzureADMyOrg'
  spa: {
    redirectUris: consoleRedirectUris
  }
  requiredResourceAccess: [
    {
      resourceAppId: api.appId
      resourceAccess: [
        for scope in scopes: {
          id: guid(seed, 'scope', scope.value)
          type: 'Scope'
        }
      ]
    }
  ]
}

resource consolePrincipal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: console.appId
}

output DROPBELL_API_CLIENT_ID string = api.appId
output DROPBELL_CLI_CLIENT_ID string = commandLine.appId
output DROPBELL_CONSOLE_CLIENT_ID string = console.appId
output DROPBELL_API_SCOPE_PREFIX string = identifierUri
