// The deliveries in short: each with its attempts, in order.
import { element, reconcile } from './dom.js'
import { duration } from './format.js'

export function showDeliveries(place, deliveries, onOpen) {
  place.hidden = deliveries.length === 0
  reconcile(place.querySelector('ol'), deliveries, (each) => each.id, (delivery) => {
    const good = delivery.outcome === 'delivered'
    return element('li', { class: 'delivery' },
      element('b', { class: `mark ${good ? 'good' : 'bad'}`, 'aria-hidden': 'true' }),
      element('span', { class: 'channel', text: delivery.channel || 'delivery' }),
      element('span', { class: 'outcome', text: good && delivery.attempts.length > 1 ? `delivered at attempt ${delivery.attempts.length}` : delivery.outcome }),
      element('ol', { class: 'attempts', 'aria-label': 'Attempts' }, ...delivery.attempts.map((attempt, number) => step(attempt, delivery.attempts[number - 1]))))
  })
  function step(attempt, before) {
    const good = attempt.outcome === 'delivered'
    const text = attempt.status_code || attempt.outcome
    const gap = before ? element('span', { class: 'gap', text: `+${duration(attempt.at_ms - before.at_ms)}` }) : null
    const button = element('button', {
      type: 'button', class: `attempt ${good ? 'good' : 'bad'}`, title: attempt.reason || attempt.outcome, disabled: attempt.row === null,
      'aria-label': `attempt ${attempt.number ?? ''}: ${attempt.outcome} ${attempt.status_code ?? ''}`,
      on: { click: () => onOpen(attempt.row) },
    }, element('b', { class: `mark ${good ? 'good' : 'bad'}`, 'aria-hidden': 'true' }), String(text))
    return element('li', {}, gap, button)
  }
}
