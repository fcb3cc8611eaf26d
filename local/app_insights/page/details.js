// What is known of one span: its fields, its links, and what was noted in it.
import { element } from './dom.js'
import { duration, moment } from './format.js'
import { categoryName } from './waterfall.js'

const FIRST = ['outcome', 'attempt', 'status_code', 'reason', 'channel', 'duration_ms', 'since_accepted_ms', 'method', 'route', 'level']
const NOTES = { event: 'Event', message: 'Log', exception: 'Exception' }

export function showDetails(place, row, parent, { onClose, onFollow }) {
  place.hidden = row === null
  if (row === null) return place.replaceChildren()
  const close = element('button', { type: 'button', class: 'close cross', 'aria-label': 'Close the details', on: { click: onClose } })
  const outcome = row.failed ? element('span', { class: 'badge bad' }, element('b', { class: 'mark bad', 'aria-hidden': 'true' }), 'failed') : null
  const times = `${categoryName(row.category)} · begins at ${moment(row.start_ms)}${row.category === 'event' ? '' : ` · took ${duration(row.duration_ms)}`}`
  place.replaceChildren(
    element('header', {}, element('h3', { class: row.category }, element('span', { class: 'kind', 'aria-hidden': 'true' }), row.name), close),
    element('p', { class: 'times' }, times, ' ', outcome),
    ...links(row, parent, onFollow),
    ...row.notes.map(note),
    element('h4', { text: 'Span' }),
    table(Object.entries(row.fields)))
  place.scrollTop = 0
}

function links(row, parent, onFollow) {
  if (!row.links.length && !parent) return []
  const items = row.links.map((link) => {
    if (link.row === null) return element('li', {}, 'linked to a span that is not here: ', element('code', { text: `${link.trace_id} / ${link.span_id}` }))
    const what = link.row === row.retry_of ? 'the attempt before' : `linked to ${link.name}`
    return element('li', {}, element('button', { type: 'button', class: 'link', text: what, on: { click: () => onFollow(link.row) } }))
  })
  if (parent) {
    items.unshift(element('li', {}, element('button', { type: 'button', class: 'link', text: `caused by ${parent.name}`, on: { click: () => onFollow(parent.id) } })))
  }
  return [element('ul', { class: 'links' }, ...items)]
}

function note(told) {
  const title = element('h4', {},
    told.failed ? element('b', { class: 'mark bad', role: 'img', 'aria-label': 'error' }) : null,
    element('span', { class: 'note-kind', text: NOTES[told.kind] ?? told.kind }), ` ${told.name}`)
  const time = element('p', { class: 'times', text: `at ${moment(told.at_ms)}` })
  const stack = told.stack ? element('pre', { tabindex: 0, text: told.stack }) : null
  return element('section', { class: 'note' }, title, time, table(inOrder(told.properties)), stack)
}

function inOrder(properties) {
  const place = ([name]) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length)
  return Object.entries(properties).sort((a, b) => place(a) - place(b) || a[0].localeCompare(b[0]))
}

function table(entries) {
  if (!entries.length) return null
  return element('table', {}, element('tbody', {}, ...entries.map(([name, value]) =>
    element('tr', {}, element('th', { scope: 'row', text: name }), element('td', { text: value })))))
}
