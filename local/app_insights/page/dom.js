// Builds elements. Text is only ever set as text: nothing that was sent becomes markup.

const SVG = 'http://www.w3.org/2000/svg'

/** An element; `attributes` may hold `class`, `text`, `on` (listeners), `data`, and any attribute. */
export function element(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children)
}

export function shape(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children)
}

function furnish(made, { text, on = {}, data = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, '')
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value)
  }
  for (const [name, listener] of Object.entries(on)) made.addEventListener(name, listener)
  Object.assign(made.dataset, data)
  if (text !== undefined) made.textContent = text
  made.append(...children.filter((child) => child !== null && child !== undefined))
  return made
}

/** Sets the text only if it is another one: what stands on the page does not flicker. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text
}

/** Makes `parent` hold one child per item, in order; a child whose content is the same is left alone. */
export function reconcile(parent, items, key, build) {
  const kept = new Map([...parent.children].map((child) => [child.dataset.key, child]))
  let place = parent.firstElementChild
  for (const item of items) {
    const name = key(item)
    const content = JSON.stringify(item)
    let child = kept.get(name)
    if (!child || child.dataset.content !== content) {
      const fresh = build(item)
      fresh.dataset.key = name
      fresh.dataset.content = content
      if (child) {
        const focused = child.contains(document.activeElement)
        if (place === child) place = fresh
        child.replaceWith(fresh)
        if (focused) fresh.querySelector('a, button')?.focus({ preventScroll: true })
      }
      child = fresh
    }
    kept.delete(name)
    if (child === place) place = place.nextElementSibling
    else parent.insertBefore(child, place)
  }
  for (const child of kept.values()) child.remove()
}
