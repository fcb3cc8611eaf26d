// The list of traces: searched, filtered, kept fresh.
import { element, reconcile, setText } from './dom.js'
import { ago, clock, count, duration } from './format.js'
import { ask, keepFresh } from './live.js'
import { showMetrics } from './metrics.js'

const LIMIT = 200
const MAX_FAILED_ON_TOP = 10
const query = new URLSearchParams(location.search)
const shown = { q: query.get('q') ?? '' }
shown.filter = query.get('filter') ?? usual()
const byId = (id) => document.getElementById(id)
const box = byId('q')
const filters = [...document.querySelectorAll('[data-filter]')]
box.value = shown.q

async function refresh() {
  const asked = new URLSearchParams({ limit: LIMIT, q: shown.q })
  if (shown.filter === 'files') asked.set('files', 1)
  if (shown.filter === 'errors') asked.set('errors', 1)
  const [traces, metrics] = await Promise.all([ask(`/api/traces?${asked}`), ask('/api/metrics')])
  showMetrics(byId('metrics'), metrics.body.items)
  showFilters(traces.body.counts)
  showTraces(traces.body)
}

function showFilters(counts) {
  for (const button of filters) {
    button.setAttribute('aria-pressed', String(button.dataset.filter === shown.filter))
    setText(button.querySelector('span'), String(counts[button.dataset.filter]))
  }
}

function showTraces({ items, matched, total }) {
  const failed = items.filter((item) => item.failed).slice(0, shown.filter === 'errors' ? LIMIT : MAX_FAILED_ON_TOP)
  const rest = items.filter((item) => !failed.includes(item))
  const groups = [
    { name: 'With failures', items: failed },
    { name: failed.length ? 'The others, newest first' : 'Newest first', items: rest },
  ].filter((group) => group.items.length)
  const place = byId('traces')
  reconcile(place, groups.map(({ name }) => ({ name })), ({ name }) => name, ({ name }) =>
    element('section', {}, element('h2', { class: 'group', text: name }), element('ol', { class: 'traces' })))
  groups.forEach((group, number) => {
    reconcile(place.children[number].querySelector('ol'), group.items, (item) => item.trace_id, line)
  })
  for (const time of place.querySelectorAll('time')) setText(time, ago(time.dateTime))
  showEmpty(items.length, matched, total)
}

function line(item) {
  const name = element('a', { class: 'name', href: `/traces/${encodeURIComponent(item.trace_id)}`, title: item.name, text: item.name })
  const id = item.file_id ?? item.trace_id
  const work = [count(item.requests, 'request'), count(item.dependencies, 'call')].join(', ')
  return element('li', { class: 'trace', title: work },
    element('b', { class: `mark ${item.failed ? 'bad' : 'good'}`, role: 'img', 'aria-label': item.failed ? 'with failures' : 'without failures' }),
    name,
    element('span', { class: 'id', title: item.file_id ? `file ${id}` : `trace ${id}`, text: id }),
    element('span', { class: 'outcome' }, ...outcomes(item)),
    element('span', { class: 'number took', text: duration(item.duration_ms) }),
    element('time', { class: 'number when', datetime: item.started_at, title: clock(item.started_at) }))
}

function outcomes(item) {
  const told = Object.entries(item.deliveries).map(([outcome, number]) =>
    element('span', { class: `badge ${outcome === 'delivered' ? 'good' : ''}`, text: `${number} ${outcome}` }))
  if (item.failed) told.unshift(element('span', { class: 'badge bad', text: count(item.errors, 'failure') }))
  if (!told.length && item.result && item.result !== '0') told.push(element('span', { class: 'badge', text: item.result }))
  return told
}

function showEmpty(listed, matched, total) {
  const place = byId('empty')
  place.hidden = listed > 0 && matched <= listed
  const content = JSON.stringify([listed, matched, total === 0, shown])
  if (place.hidden || place.dataset.content === content) return
  place.dataset.content = content
  if (listed) return place.replaceChildren(element('p', { text: `… and ${count(matched - listed, 'more trace')}. Search for the one you want.` }))
  if (total && shown.q) {
    return place.replaceChildren(element('h2', { text: 'Nothing found' }),
      element('p', { text: 'No trace has this identifier or name. What was sampled out or has been forgotten cannot be found.' }))
  }
  if (total) {
    const what = shown.filter === 'errors' ? 'No trace has a failure.' : 'No file was sent yet; the other traces are under “All”.'
    return place.replaceChildren(element('h2', { text: 'Nothing here' }), element('p', { text: what }))
  }
  const connection = `APPLICATIONINSIGHTS_CONNECTION_STRING=InstrumentationKey=00000000-0000-4000-8000-000000000001;IngestionEndpoint=${location.origin}/;LiveEndpoint=${location.origin}/`
  place.replaceChildren(element('h2', { text: 'Nothing has arrived yet' }),
    element('p', { text: 'Traces appear here by themselves. An application sends them with' }), element('code', { text: connection }))
}

/** Files are what one comes for; who searches wants whatever there is. */
function usual() {
  return shown.q ? 'all' : 'files'
}

function remember() {
  const told = new URLSearchParams()
  if (shown.q) told.set('q', shown.q)
  if (shown.filter !== usual()) told.set('filter', shown.filter)
  history.replaceState(null, '', told.size ? `/?${told}` : '/')
}

const turn = keepFresh(refresh, byId('state'))

byId('search').addEventListener('submit', async (event) => {
  event.preventDefault()
  shown.q = box.value.trim()
  shown.filter = usual()
  remember()
  await turn()
  const links = document.querySelectorAll('.trace .name')
  if (shown.q.length > 8 && links.length === 1) location.assign(links[0].href)
})
box.addEventListener('input', () => {
  if (box.value.trim() || !shown.q) return
  shown.q = ''
  shown.filter = usual()
  remember()
  turn()
})
for (const button of filters) {
  button.addEventListener('click', () => {
    shown.filter = button.dataset.filter
    remember()
    turn()
  })
}
