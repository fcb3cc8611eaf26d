// Numbers and times as people read them.

export function duration(ms) {
  if (ms < 1) return '<1 ms'
  if (ms < 999.5) return `${Math.round(ms)} ms`
  const s = ms / 1000
  if (s < 9.995) return `${s.toFixed(2)} s`
  if (s < 59.95) return `${s.toFixed(1)} s`
  const whole = Math.round(s)
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${pad(whole % 60)} s`
  const minutes = Math.round(s / 60)
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`
  return `${Math.floor(minutes / 1440)} d ${pad(Math.round((minutes % 1440) / 60))} h`
}

/** When, since the beginning. */
export const moment = (ms) => (ms < 0.5 ? '0 ms' : duration(ms))

/** As short as it gets, for an axis. */
export function tick(ms) {
  if (ms === 0) return '0'
  if (ms < 1000) return `${trim(ms)} ms`
  if (ms < 60_000) return `${trim(ms / 1000)} s`
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)}:${pad(Math.floor((ms % 60_000) / 1000))} m`
  return `${Math.floor(ms / 3_600_000)}:${pad(Math.floor((ms % 3_600_000) / 60_000))} h`
}

/** How long something was idle, in the width of a few letters. */
export function brief(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${trim(Math.round(ms / 100) / 10)} s`
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} m`
  return `${Math.round(ms / 3_600_000)} h`
}

export function ago(moment, now = Date.now()) {
  const s = Math.max(0, Math.round((now - Date.parse(moment)) / 1000))
  if (s < 60) return `${s} s ago`
  if (s < 3600) return `${Math.floor(s / 60)} m ago`
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`
  return `${Math.floor(s / 86_400)} d ago`
}

export function clock(moment) {
  const at = new Date(moment)
  const date = at.toLocaleDateString(undefined, { day: 'numeric', month: 'short', year: 'numeric' })
  return `${date}, ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`
}

export function bytes(number) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let unit = 0
  while (number >= 999.5 && unit < units.length - 1) {
    number /= 1000
    unit += 1
  }
  return `${unit && number < 99.95 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`
}

export function figure(number) {
  return number.toLocaleString('en', { maximumFractionDigits: Math.abs(number) < 10 ? 2 : 0 })
}

const trim = (number) => String(Math.round(number * 1000) / 1000)
const pad = (number) => String(number).padStart(2, '0')
