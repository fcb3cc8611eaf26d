// E-mail through Azure Communication Services, from a domain that Azure manages. For a domain of your own see README.md.

param communicationName string
param emailName string
param dataLocation string
param tags object

module email 'br/public:avm/res/communication/email-service:0.4.5' = {
  params: {
    name: emailName
    tags: tags
    dataLocation: dataLocation
    domains: [
      {
        name: 'AzureManagedDomain'
        domainManagement: 'AzureManaged'
        userEngagementTracking: 'Disabled'
      }
    ]
    enableTelemetry: false
  }
}

module communication 'br/public:avm/res/communication/communication-service:0.5.0' = {
  params: {
    name: communicationName
    tags: tags
    dataLocation: dataLocation
    linkedDomains: email.outputs.domainResourceIds
    enableTelemetry: false
  }
}

output communicationName string = communication.outputs.name
output endpoint string = 'https://${communication.outputs.endpoint}'
output sender string = 'DoNotReply@${email.outputs.domainFromSenderDomains[0]}'
