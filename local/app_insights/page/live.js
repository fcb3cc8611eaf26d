// Asks again and again, never twice at once, and not while nobody looks.

const PERIOD_MS = 2000

/** Calls `refresh` now, every two seconds, and as soon as the page is looked at again; tells `state` how it goes. */
export function keepFresh(refresh, state) {
  let timer = null
  async function turn() {
    clearTimeout(timer)
    try {
      await refresh()
      show('Live', false)
    } catch (error) {
      show(error instanceof TypeError ? 'The trace store does not answer.' : error.message, true)
    }
    if (!document.hidden) timer = setTimeout(turn, PERIOD_MS)
  }
  function show(text, lost) {
    if (state.textContent !== text) state.textContent = text
    state.classList.toggle('lost', lost)
  }
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) turn()
  })
  turn()
  return turn
}

export async function ask(path) {
  const answer = await fetch(path, { cache: 'no-cache' })
  if (!answer.ok && answer.status !== 404) throw new Error(`The trace store answers ${answer.status}.`)
  return { body: await answer.json(), found: answer.ok, etag: answer.headers.get('etag') }
}
