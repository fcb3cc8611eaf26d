// One trace: its head, its deliveries, the picture, and the details of what is chosen in it.
import { showDeliveries } from './deliveries.js'
import { showDetails } from './details.js'
import { element, setText } from './dom.js'
import { clock, count, duration } from './format.js'
import { ask, keepFresh } from './live.js'
import { makeWaterfall } from './waterfall.js'

const byId = (id) => document.getElementById(id)
const traceId = decodeURIComponent(location.pathname.split('/').at(-1))
const board = byId('board')
const details = byId('details')
const fold = byId('fold')
let etag = null
let detailed = ''

const picture = makeWaterfall(byId('chart'), byId('legend'), (row, parent) => {
  const content = JSON.stringify([row, parent?.id])
  if (content === detailed) return // what is being read stays where it is
  detailed = content
  board.classList.toggle('split', row !== null)
  showDetails(details, row, parent, { onClose: () => picture.leave(), onFollow: (id) => picture.open(id) })
})

async function refresh() {
  const answer = await ask(`/api/traces/${encodeURIComponent(traceId)}/story`)
  byId('story').hidden = !answer.found
  byId('empty').hidden = answer.found
  if (!answer.found) return showMissing()
  if (answer.etag === etag) return
  etag = answer.etag
  const story = answer.body
  showHead(story)
  showDeliveries(byId('deliveries'), story.deliveries, (id) => picture.open(id))
  fold.hidden = story.folds.length === 0
  picture.show(story)
}

function showHead(story) {
  const { summary } = story
  document.title = `${summary.failed ? '✕ ' : ''}${summary.name} · Dropbell`
  setText(byId('name'), summary.name)
  const badge = summary.failed
    ? element('span', { class: 'badge bad' }, element('b', { class: 'mark bad', 'aria-hidden': 'true' }), count(summary.errors, 'failure'))
    : element('span', { class: 'badge good' }, element('b', { class: 'mark good', 'aria-hidden': 'true' }), 'no failures')
  byId('badge').replaceChildren(badge)
  const idle = story.folds.length ? `${duration(story.duration_ms)}, of which ${duration(story.busy_ms)} at work` : duration(story.duration_ms)
  byId('facts').replaceChildren(...[
    clock(story.started_at), idle, count(summary.requests, 'request'), count(summary.dependencies, 'call'),
    count(summary.instances, 'process', 'processes'),
  ].map((text) => element('span', { text })))
  byId('identifiers').replaceChildren(
    ...identifier('file', summary.file_id), ...identifier('correlation', summary.correlation_id), ...identifier('trace', story.trace_id))
}

function identifier(name, value) {
  if (!value) return []
  const copy = element('button', { type: 'button', class: 'copy', 'aria-label': `Copy the ${name} id`, text: 'Copy' })
  copy.addEventListener('click', async () => {
    await navigator.clipboard.writeText(value)
    setText(copy, 'Copied')
    setTimeout(() => setText(copy, 'Copy'), 1500)
  })
  const code = element('code', { text: value })
  return [element('div', {}, element('dt', { text: name }), element('dd', {}, name === 'trace' ? code : element('a', { href: `/?q=${encodeURIComponent(value)}`, title: `All traces of this ${name}` }, code), copy))]
}

function showMissing() {
  byId('empty').replaceChildren(element('h2', { text: 'This trace is not here (yet)' }),
    element('p', { text: 'It appears by itself once it is sent. What was sampled out or has been forgotten does not.' }),
    element('code', { text: traceId }))
}

fold.querySelector('input').addEventListener('change', (event) => picture.fold(event.target.checked))
details.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') picture.leave()
})
keepFresh(refresh, byId('state'))
