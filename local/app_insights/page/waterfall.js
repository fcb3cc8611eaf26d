// The picture: a row for each span, nested, on one axis. Rows are a treegrid (ARIA) and can be walked by keyboard.
import { makeAxis } from './axis.js'
import { element } from './dom.js'
import { brief, count, duration, moment, tick } from './format.js'

const CATEGORIES = {
  request: 'HTTP request', function: 'function', blob: 'blob', table: 'table', queue: 'queue', webhook: 'webhook or chat',
  mail: 'mail', http: 'other call', inner: 'inside the process', event: 'record',
}
const MAX_INDENT = 10

/** Draws into `place` and `legend`; `onChoose(row or null, parent or null)` is told what is looked at. */
export function makeWaterfall(place, legend, onChoose) {
  let story = { rows: [], folds: [], duration_ms: 0 }
  let isFolded = true
  let focusedId = null
  let chosenId = null
  let byId = new Map()
  const closed = new Set()
  const body = element('div', { class: 'rows', role: 'rowgroup' })
  const scale = element('div', { class: 'scale', role: 'columnheader' })
  const lines = element('div')
  const grid = element('div', { class: 'grid', role: 'treegrid', 'aria-label': 'Spans, nested by what caused them' },
    element('div', { class: 'top', role: 'rowgroup' },
      element('div', { class: 'head', role: 'row' },
        element('div', { role: 'columnheader', text: 'Span' }),
        element('div', { class: 'took', role: 'columnheader', text: 'Took' }), scale)),
    body, element('div', { class: 'lines', 'aria-hidden': 'true' }, lines))
  place.replaceChildren(grid)

  const shown = () => {
    const hidden = new Set()
    return story.rows.filter((row) => {
      if (hidden.has(row.parent) || closed.has(row.parent)) hidden.add(row.id)
      return !hidden.has(row.id)
    })
  }

  function draw() {
    const hadFocus = body.contains(document.activeElement)
    const rows = shown()
    if (!rows.some((row) => row.id === focusedId)) focusedId = rows[0]?.id ?? null
    body.replaceChildren(...rows.map(line))
    layOut()
    if (hadFocus) focus(focusedId)
  }

  function line(row) {
    const isOpen = !closed.has(row.id)
    const name = element('div', { class: 'name', role: 'gridcell' },
      element('span', { class: 'twig', 'aria-hidden': 'true', }),
      element('span', { class: 'kind', 'aria-hidden': 'true' }),
      row.failed ? element('b', { class: 'mark bad', role: 'img', 'aria-label': 'failed' }) : null,
      element('span', { class: 'text', text: row.name, title: row.name }),
      ['webhook', 'http'].includes(row.category) && row.fields.target && !row.name.includes(row.fields.target)
        ? element('span', { class: 'target', text: row.fields.target, title: row.fields.target }) : null,
      ...chips(row, byId.get(row.parent)))
    name.style.setProperty('--depth', Math.min(row.depth, MAX_INDENT))
    const took = element('div', { class: 'took', role: 'gridcell', text: row.category === 'event' ? '' : duration(row.duration_ms) })
    const track = element('div', { class: 'track', role: 'gridcell' },
      element('span', { class: 'hidden', text: `from ${moment(row.start_ms)} to ${moment(row.start_ms + row.duration_ms)}` }),
      row.wait ? element('span', { class: `wait ${row.wait.reason}` }) : null,
      element('span', { class: 'span' }),
      element('span', { class: 'label', 'aria-hidden': 'true', text: waited(row) }))
    return element('div', {
      class: `row ${row.category} ${row.failed ? 'failed' : ''}`,
      role: 'row', data: { id: row.id },
      tabindex: row.id === focusedId ? 0 : -1, 'aria-level': row.depth + 1, 'aria-selected': String(row.id === chosenId),
      'aria-expanded': row.children ? String(isOpen) : null,
    }, name, took, track)
  }

  function failuresInside(row) {
    const inside = new Set([row.id])
    let failures = 0
    for (const each of story.rows) {
      if (!inside.has(each.parent)) continue
      inside.add(each.id)
      failures += each.failed ? 1 : 0
    }
    return failures
  }

  function chips(row, parent) {
    const told = []
    const inside = closed.has(row.id) ? failuresInside(row) : 0
    if (inside) told.push(element('span', { class: 'chip bad', text: `${count(inside, 'failure')} inside` }))
    if (row.retry_of) told.push(element('span', { class: 'chip', title: 'linked to an earlier attempt of the same trace', text: 'retry' }))
    else if (row.links.length) told.push(element('span', { class: 'chip', title: 'linked to another span', text: 'linked' }))
    if (row.fields.attempt) told.push(element('span', { class: 'chip', text: `attempt ${row.fields.attempt}` }))
    const result = row.result && row.result !== '0' ? row.result : row.fields.status_code
    if (row.failed && result) told.push(element('span', { class: 'chip bad', text: result }))
    if (row.parent_missing) told.push(element('span', { class: 'chip', title: 'its parent was not sent to this store, or not yet', text: 'parent missing' }))
    if (row.instance && parent?.instance !== row.instance && row.category !== 'event') told.push(element('span', { class: 'chip process', title: `process ${row.instance}`, text: row.instance }))
    return told
  }

  function layOut() {
    const widthPx = Math.max(120, scale.clientWidth)
    const axis = makeAxis(story.duration_ms, isFolded ? story.folds : [], widthPx)
    const percent = (part) => `${(part * 100).toFixed(3)}%`
    for (const node of body.children) {
      const row = byId.get(node.dataset.id)
      const start = axis.at(row.start_ms)
      const end = axis.at(row.start_ms + row.duration_ms)
      const bar = node.querySelector('.span')
      bar.style.left = percent(start)
      bar.style.width = percent(end - start)
      const wait = node.querySelector('.wait')
      const since = row.wait ? axis.at(row.wait.since_ms) : start
      if (wait) {
        wait.style.left = percent(since)
        wait.style.width = percent(start - since)
      }
      placeLabel(node.querySelector('.label'), since, start, end, widthPx)
    }
    scale.replaceChildren(
      element('span', { class: 'hidden', text: 'Time since the beginning' }),
      ...axis.ticks.map((each) => placed(element('span', { class: 'tick', text: tick(each.ms) }), each.part)),
      ...axis.folds.map((each) => placed(element('span', {
        class: 'folded', title: `${duration(each.endMs - each.startMs)} in which nothing happened, left out`, text: each.hasLabel ? `+${brief(each.endMs - each.startMs)}` : '',
      }), each.part, each.length)))
    lines.replaceChildren(
      ...axis.ticks.map((each) => placed(element('i', { class: 'tick' }), each.part)),
      ...axis.folds.map((each) => placed(element('i', { class: 'folded' }), each.part, each.length)))
    function placed(node, part, length) {
      node.style.left = percent(part)
      if (length !== undefined) node.style.width = percent(length)
      return node
    }
  }

  /** Before the bar where there is room, else behind it. */
  function placeLabel(label, since, start, end, widthPx) {
    if (!label.textContent) return
    const needPx = label.textContent.length * 6.3 + 14
    label.style.left = label.style.right = ''
    if (since * widthPx > needPx) label.style.right = `calc(${((1 - since) * 100).toFixed(3)}% + 5px)`
    else if ((1 - end) * widthPx > needPx) label.style.left = `calc(${(end * 100).toFixed(3)}% + 9px)`
    label.hidden = !label.style.left && !label.style.right
  }

  function focus(id) {
    const node = [...body.children].find((each) => each.dataset.id === id)
    if (!node) return
    for (const each of body.querySelectorAll('[tabindex="0"]')) each.tabIndex = -1
    node.tabIndex = 0
    node.focus({ preventScroll: true })
    node.scrollIntoView({ block: 'nearest' })
    focusedId = id
  }

  function choose(id) {
    chosenId = id
    for (const node of body.children) node.setAttribute('aria-selected', String(node.dataset.id === id))
    const row = byId.get(id) ?? null
    onChoose(row, byId.get(row?.parent) ?? null)
  }

  function toggle(id) {
    if (!closed.delete(id)) closed.add(id)
    draw()
  }

  body.addEventListener('click', (event) => {
    const node = event.target.closest('.row')
    if (!node) return
    focus(node.dataset.id)
    if (event.target.closest('.twig') && node.hasAttribute('aria-expanded')) toggle(node.dataset.id)
    else choose(chosenId === node.dataset.id ? null : node.dataset.id)
  })
  body.addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return
    const rows = shown()
    const number = rows.findIndex((row) => row.id === focusedId)
    const row = rows[number]
    if (!row) return
    const go = (to) => {
      focus(to?.id)
      if (chosenId !== null && to) choose(to.id)
    }
    const keys = {
      ArrowDown: () => go(rows[number + 1]),
      ArrowUp: () => go(rows[number - 1]),
      Home: () => go(rows[0]),
      End: () => go(rows.at(-1)),
      ArrowRight: () => (closed.has(row.id) ? toggle(row.id) : go(row.children ? rows[number + 1] : null)),
      ArrowLeft: () => (row.children && !closed.has(row.id) ? toggle(row.id) : go(byId.get(row.parent))),
      Enter: () => choose(chosenId === row.id ? null : row.id),
      ' ': () => choose(chosenId === row.id ? null : row.id),
      Escape: () => choose(null),
    }
    if (!keys[event.key]) return
    event.preventDefault()
    keys[event.key]()
  })
  new ResizeObserver(layOut).observe(scale)

  return {
    show(fresh) {
      story = fresh
      byId = new Map(story.rows.map((row) => [row.id, row]))
      const present = new Set(story.rows.map((row) => row.category))
      legend.replaceChildren(...Object.entries(CATEGORIES).filter(([name]) => present.has(name)).map(([name, text]) =>
        element('li', { class: name }, element('span', { class: 'kind', 'aria-hidden': 'true' }), text)))
      draw()
      if (chosenId !== null) choose(chosenId)
    },
    fold(folded) {
      isFolded = folded
      layOut()
    },
    /** Looks at a row from elsewhere on the page. */
    open(id) {
      for (let row = byId.get(id); row; row = byId.get(row.parent)) closed.delete(row.parent)
      draw()
      choose(id)
      focus(id)
    },
    leave() {
      choose(null)
      focus(focusedId)
    },
  }
}

function waited(row) {
  if (!row.wait) return ''
  const ms = row.start_ms - row.wait.since_ms
  return row.wait.reason === 'retry' ? `again after ${duration(ms)}` : `waited ${duration(ms)}`
}

export const categoryName = (category) => CATEGORIES[category] ?? category
