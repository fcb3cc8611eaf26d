// Looks at a page as a person does: opens it in a given size and scheme, does what it is told, takes a picture.
// Prints one line of JSON: what the page complained of, and what the asked-for expressions are.
import { parseArgs } from 'node:util'
import { openBrowser } from '../browser.mjs'

const { values: options } = parseArgs({
  options: {
    page: { type: 'string' },
    // Visible when there is something to look at.
    ready: { type: 'string', default: 'body' },
    width: { type: 'string', default: '1280' },
    height: { type: 'string', default: '800' },
    scheme: { type: 'string', default: 'light' },
    // `click:<selector>`, `key:<name>`, `type:<selector>:<text>`, `wait:<selector>`, in order.
    do: { type: 'string', multiple: true, default: [] },
    // `name=<JavaScript expression>`, evaluated at the end.
    tell: { type: 'string', multiple: true, default: [] },
    screenshot: { type: 'string' },
    'whole-page': { type: 'boolean', default: false },
    scale: { type: 'string', default: '1' },
    'timeout-seconds': { type: 'string', default: '20' },
  },
})

const complaints = []

async function act(page, order) {
  const [verb, first, ...rest] = order.split(':')
  const selector = [first, ...rest].join(':')
  if (verb === 'click') await page.locator(selector).click()
  else if (verb === 'key') await page.keyboard.press(first)
  else if (verb === 'type') await page.locator(first).fill(rest.join(':'))
  else if (verb === 'wait') await page.waitForSelector(selector, { visible: true })
  else throw new Error(`unknown order ${order}`)
}

const browser = await openBrowser()
try {
  const page = await browser.newPage()
  page.setDefaultTimeout(Number(options['timeout-seconds']) * 1000)
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) complaints.push(`${message.text()} ${message.location().url ?? ''}`)
  })
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`)
    dialog.dismiss()
  })
  await page.setViewport({ width: Number(options.width), height: Number(options.height), deviceScaleFactor: Number(options.scale) })
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: options.scheme }])
  await page.goto(options.page)
  await page.waitForSelector(options.ready, { visible: true })
  for (const order of options.do) await act(page, order)
  const told = {}
  for (const asked of options.tell) {
    const [name, ...expression] = asked.split('=')
    told[name] = await page.evaluate(expression.join('='))
  }
  if (options.screenshot) await page.screenshot({ path: options.screenshot, fullPage: options['whole-page'] })
  console.log(JSON.stringify({ told, complaints }))
} finally {
  await browser.close()
}
