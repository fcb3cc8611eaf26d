// The page to look at first: how much, how fast, what fails, what is dead, and one file's whole story.
// Each query is a file of its own (../queries), which docs/operations.md shows too.

param displayName string
param location string
param tags object
param insightsId string
param serviceBusId string

var pages = [
  { key: 'throughput', title: 'Throughput: files accepted and announced', query: loadTextContent('../queries/throughput.kql'), view: 'timechart' }
  { key: 'latency', title: 'Latency: from accepted to announced and delivered', query: loadTextContent('../queries/latency.kql'), view: 'timechart' }
  { key: 'requests', title: 'Requests by route', query: loadTextContent('../queries/requests-by-route.kql'), view: 'table' }
  { key: 'failures', title: 'Failed delivery attempts by target and reason', query: loadTextContent('../queries/failed-attempts.kql'), view: 'table' }
  { key: 'dead', title: 'Dead letters and what else needs a person', query: loadTextContent('../queries/needs-a-person.kql'), view: 'table' }
]
var story = {
  type: 3
  name: 'story'
  content: {
    version: 'KqlItem/1.0'
    title: 'The story of one file, delivery, correlation or trace'
    query: loadTextContent('../queries/story.kql')
    size: 0
    queryType: 0
    resourceType: 'microsoft.insights/components'
    crossComponentResources: [insightsId]
    visualization: 'table'
  }
}
var parameters = {
  type: 9
  name: 'parameters'
  content: {
    version: 'KqlParameterItem/1.0'
    style: 'pills'
    queryType: 0
    resourceType: 'microsoft.insights/components'
    parameters: [
      {
        id: guid(insightsId, 'range')
        version: 'KqlParameterItem/1.0'
        name: 'range'
        label: 'Time range'
        type: 4
        isRequired: true
        value: { durationMs: 86400000 }
        typeSettings: {
          selectableValues: [
            { durationMs: 3600000 }
            { durationMs: 14400000 }
            { durationMs: 86400000 }
            { durationMs: 604800000 }
            { durationMs: 2592000000 }
          ]
          allowCustom: true
        }
      }
      {
        id: guid(insightsId, 'id')
        version: 'KqlParameterItem/1.0'
        name: 'id'
        label: 'File, delivery, correlation or trace id'
        type: 1
        isRequired: false
        value: ''
      }
    ]
  }
}
var queue = {
  type: 10
  name: 'queue'
  content: {
    version: 'MetricsItem/2.0'
    size: 0
    chartType: 2
    resourceType: 'microsoft.servicebus/namespaces'
    metricScope: 0
    resourceIds: [serviceBusId]
    timeContextFromParameter: 'range'
    title: 'The queue: waiting, scheduled, dead'
    metrics: [
      { namespace: 'microsoft.servicebus/namespaces', metric: 'microsoft.servicebus/namespaces--ActiveMessages', aggregation: 4 }
      { namespace: 'microsoft.servicebus/namespaces', metric: 'microsoft.servicebus/namespaces--ScheduledMessages', aggregation: 4 }
      { namespace: 'microsoft.servicebus/namespaces', metric: 'microsoft.servicebus/namespaces--DeadletteredMessages', aggregation: 3 }
    ]
  }
}
var queryItems = map(pages, page => {
  type: 3
  name: page.key
  content: {
    version: 'KqlItem/1.0'
    title: page.title
    query: page.query
    size: 0
    timeContextFromParameter: 'range'
    queryType: 0
    resourceType: 'microsoft.insights/components'
    crossComponentResources: [insightsId]
    visualization: page.view
  }
})
var storyItem = union(story, { content: union(story.content, { timeContextFromParameter: 'range' }) })
var content = {
  version: 'Notebook/1.0'
  items: concat([parameters], queryItems, [queue, storyItem])
  fallbackResourceIds: [insightsId]
  '$schema': 'https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json'
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(insightsId, 'dropbell')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: displayName
    category: 'workbook'
    version: '1.0'
    sourceId: insightsId
    serializedData: string(content)
  }
}
