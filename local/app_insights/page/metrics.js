// The strip of metrics: one card for each name, its dimensions added up.
import { element, reconcile, shape } from './dom.js'
import { bytes, duration, figure } from './format.js'

const WIDTH = 100
const HEIGHT = 24
const FIRST = ['files.accepted', 'bytes.accepted', 'time_to_announced', 'time_to_delivered', 'delivery.attempts', 'dead_letters'].map((name) => `dropbell.${name}`)
const EXPORT_MS = 60_000

export function showMetrics(place, series) {
  const cards = Object.entries(Object.groupBy(series, (each) => each.name)).map(([name, group]) => summed(name, group))
  const rank = ({ name }) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length)
  cards.sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name))
  place.hidden = cards.length === 0
  reconcile(place, cards, (card) => card.name, card)
}

/** A histogram tells extremes; its card shows the mean. A counter's shows the sum. */
function summed(name, group) {
  const isHistogram = group.some((each) => each.min !== null)
  const points = new Map()
  const history = group.flatMap((each) => each.history)
  const times = history.map((point) => Date.parse(point.time))
  // Processes export at moments of their own: over a longer time what they tell within a minute belongs together.
  const slotMs = Math.max(...times) - Math.min(...times) > 5 * EXPORT_MS ? EXPORT_MS : 1
  for (const point of history) {
    const at = Math.floor(Date.parse(point.time) / slotMs)
    const sum = points.get(at) ?? { value: 0, count: 0 }
    points.set(at, { value: sum.value + point.value, count: sum.count + point.count })
  }
  const past = [...points.entries()].sort(([a], [b]) => a - b).map(([, sum]) => (isHistogram ? sum.value / (sum.count || 1) : sum.value))
  const total = group.reduce((sum, each) => sum + each.total, 0)
  const show = unit(name)
  const parts = group.filter((each) => Object.keys(each.dimensions).length).sort((a, b) => b.total - a.total)
  return {
    name,
    label: name.replace(/^dropbell\./, '').replaceAll(/[._]/g, ' '),
    value: isHistogram ? show(past.at(-1)) : show(total),
    aside: isHistogram
      ? `mean, at most ${show(Math.max(...group.map((each) => each.max ?? 0)))}`
      : parts.map((each) => `${show(each.total)} ${Object.values(each.dimensions).join(' ')}`).join(', '),
    past: past.slice(-60),
  }
}

function unit(name) {
  if (name.includes('bytes')) return bytes
  if (name.includes('time_to')) return (seconds) => duration(seconds * 1000)
  return figure
}

function card({ label, value, aside, past }) {
  return element('article', { class: 'metric', title: aside },
    element('h3', { text: label, title: label }),
    element('strong', { text: value }), element('small', { text: aside }),
    sparkline(past))
}

function sparkline(past) {
  const drawing = shape('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' })
  const values = past.length > 1 ? past : [past[0] ?? 0, past[0] ?? 0]
  const top = Math.max(...values) || 1
  const at = values.map((value, number) =>
    `${((number / (values.length - 1)) * WIDTH).toFixed(2)} ${(HEIGHT - 1 - (value / top) * (HEIGHT - 3)).toFixed(2)}`)
  drawing.append(shape('path', { class: 'area', d: `M0 ${HEIGHT}L${at.join('L')}L${WIDTH} ${HEIGHT}Z` }), shape('path', { d: `M${at.join('L')}` }))
  return drawing
}
