// What somebody is woken for. docs/operations.md says of each what it means and what to do; its names are those below.

param prefix string
param location string
param tags object
param emails string[]
param insightsId string
param workspaceId string
param serviceBusId string
param queue string
param eventTopicId string
param dataStorageId string
param malwareScanning bool

var ofOurQueue = [
  {
    name: 'EntityName'
    operator: 'Include'
    values: [queue]
  }
]
var metricAlerts = [
  {
    name: 'dead-letters'
    description: 'Notifications were given up.'
    severity: 2
    scope: serviceBusId
    windowSize: 'PT5M'
    evaluationFrequency: 'PT5M'
    criteria: [
      {
        criterionType: 'StaticThresholdCriterion'
        name: 'dead'
        metricNamespace: 'Microsoft.ServiceBus/namespaces'
        metricName: 'DeadletteredMessages'
        dimensions: ofOurQueue
        timeAggregation: 'Maximum'
        operator: 'GreaterThan'
        threshold: 0
      }
    ]
  }
  {
    name: 'queue-stuck'
    description: 'For 15 minutes messages have waited and none was completed: the oldest is at least that old.'
    severity: 1
    scope: serviceBusId
    windowSize: 'PT15M'
    evaluationFrequency: 'PT5M'
    criteria: [
      {
        criterionType: 'StaticThresholdCriterion'
        name: 'waiting'
        metricNamespace: 'Microsoft.ServiceBus/namespaces'
        metricName: 'ActiveMessages'
        dimensions: ofOurQueue
        timeAggregation: 'Minimum'
        operator: 'GreaterThan'
        threshold: 0
      }
      {
        criterionType: 'StaticThresholdCriterion'
        name: 'none-completed'
        metricNamespace: 'Microsoft.ServiceBus/namespaces'
        metricName: 'CompleteMessage'
        dimensions: ofOurQueue
        timeAggregation: 'Total'
        operator: 'LessThanOrEqual'
        threshold: 0
      }
    ]
  }
  {
    name: 'event-dead-letters'
    description: 'Event Grid gave up telling the application of uploads.'
    severity: 2
    scope: eventTopicId
    windowSize: 'PT15M'
    evaluationFrequency: 'PT5M'
    criteria: [
      {
        criterionType: 'StaticThresholdCriterion'
        name: 'dead'
        metricNamespace: 'Microsoft.EventGrid/systemTopics'
        metricName: 'DeadLetteredCount'
        timeAggregation: 'Total'
        operator: 'GreaterThan'
        threshold: 0
      }
    ]
  }
  {
    name: 'poison-uploads'
    description: 'The blob trigger failed five times for an upload. The only queue of the data account is the one it then goes to.'
    severity: 2
    scope: '${dataStorageId}/queueServices/default'
    windowSize: 'PT1H'
    evaluationFrequency: 'PT1H'
    criteria: [
      {
        criterionType: 'StaticThresholdCriterion'
        name: 'poison'
        metricNamespace: 'Microsoft.Storage/storageAccounts/queueServices'
        metricName: 'QueueMessageCount'
        timeAggregation: 'Average'
        operator: 'GreaterThan'
        threshold: 0
      }
    ]
  }
]
var queryAlerts = [
  {
    name: 'oldest-message'
    description: 'A first delivery took more than ten minutes from the acceptance of its file.'
    severity: 2
    query: loadTextContent('../queries/oldest-message.kql')
    windowSize: 'PT15M'
    evaluationFrequency: 'PT5M'
  }
  {
    name: 'nothing-announced'
    description: 'Files were accepted, and for 15 minutes no file has been announced.'
    severity: 1
    query: loadTextContent('../queries/nothing-announced.kql')
    windowSize: 'PT30M'
    evaluationFrequency: 'PT5M'
  }
  {
    name: 'poison-messages'
    description: 'The queue holds messages that the application cannot read.'
    severity: 2
    query: loadTextContent('../queries/poison-messages.kql')
    windowSize: 'PT15M'
    evaluationFrequency: 'PT5M'
  }
  {
    name: 'slow-deliveries'
    description: 'One first delivery in a hundred takes more than a minute from the acceptance of its file.'
    severity: 3
    query: loadTextContent('../queries/slow-deliveries.kql')
    windowSize: 'PT30M'
    evaluationFrequency: 'PT15M'
  }
  {
    name: 'failed-requests'
    description: 'More than one request in a hundred was answered with a server error.'
    severity: 1
    query: loadTextContent('../queries/failed-requests.kql')
    windowSize: 'PT15M'
    evaluationFrequency: 'PT5M'
  }
  {
    name: 'failed-deliveries'
    description: 'More than a quarter of the delivery attempts failed, at more than one target.'
    severity: 2
    query: loadTextContent('../queries/failed-deliveries.kql')
    windowSize: 'PT30M'
    evaluationFrequency: 'PT15M'
  }
  {
    name: 'sweep-findings'
    description: 'The sweep had to finish what events or crashes left undone, more than now and then.'
    severity: 3
    query: loadTextContent('../queries/sweep-findings.kql')
    windowSize: 'PT30M'
    evaluationFrequency: 'PT15M'
  }
]

module people 'br/public:avm/res/insights/action-group:0.8.0' = {
  params: {
    name: '${prefix}-people'
    groupShortName: 'dropbell'
    tags: tags
    emailReceivers: [
      for (email, index) in emails: {
        name: 'email-${index}'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
    enableTelemetry: false
  }
}

module onMetrics 'br/public:avm/res/insights/metric-alert:0.4.1' = [
  for alert in metricAlerts: {
    params: {
      name: '${prefix}-${alert.name}'
      alertDescription: alert.description
      severity: alert.severity
      tags: tags
      scopes: [alert.scope]
      windowSize: alert.windowSize
      evaluationFrequency: alert.evaluationFrequency
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allof: alert.criteria
      }
      actions: [people.outputs.resourceId]
      enableTelemetry: false
    }
  }
]

// Each query gives a row for what is wrong, none when all is well.
module onQueries 'br/public:avm/res/insights/scheduled-query-rule:0.6.0' = [
  for alert in queryAlerts: {
    params: {
      name: '${prefix}-${alert.name}'
      location: location
      alertDescription: alert.description
      severity: alert.severity
      tags: tags
      scopes: [insightsId]
      windowSize: alert.windowSize
      evaluationFrequency: alert.evaluationFrequency
      criterias: {
        allOf: [
          {
            query: alert.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      actions: {
        actionGroupResourceIds: [people.outputs.resourceId]
      }
      enableTelemetry: false
    }
  }
]

module onMalware 'br/public:avm/res/insights/scheduled-query-rule:0.6.0' = if (malwareScanning) {
  params: {
    name: '${prefix}-malware-found'
    location: location
    alertDescription: 'Defender found malware in an upload, or could not scan one. Nobody can read it.'
    severity: 1
    tags: tags
    scopes: [workspaceId]
    windowSize: 'PT15M'
    evaluationFrequency: 'PT5M'
    skipQueryValidation: true // the table is there once the first upload has been scanned
    criterias: {
      allOf: [
        {
          query: loadTextContent('../queries/malware-found.kql')
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroupResourceIds: [people.outputs.resourceId]
    }
    enableTelemetry: false
  }
}
