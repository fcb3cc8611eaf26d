// Uploads a file by hand, as it were, through the page; prints one line of JSON that says what happened.
import { parseArgs } from 'node:util'
import { openBrowser } from '../browser.mjs'

const { values: options } = parseArgs({
  options: {
    page: { type: 'string' },
    file: { type: 'string' },
    screenshot: { type: 'string' },
    // Pause and resume in the middle of the upload.
    pause: { type: 'boolean', default: false },
    'timeout-seconds': { type: 'string', default: '20' },
  },
})

// Over loopback the upload would be done before anybody could pause it.
const SLOW_NETWORK = { upload: 4 * 1024 * 1024, download: -1, latency: 0 }

const timeout = Number(options['timeout-seconds']) * 1000
const complaints = []
const exchanges = []

async function pauseAndResume(page) {
  const button = (title) => page.locator(`button.uppy-StatusBar-actionCircleBtn[title="${title}"]`)
  const progressed = () => Number(document.querySelector('[role=progressbar]').ariaValueNow) >= 30
  await page.waitForFunction(progressed)
  await button('Pause').click()
  await button('Resume').wait()
  exchanges.push({ method: 'paused' })
  await page.emulateNetworkConditions(null)
  await button('Resume').click()
}

async function upload(page) {
  await page.goto(options.page)
  const input = await page.waitForSelector('input.uppy-Dashboard-input')
  await input.uploadFile(options.file)
  if (options.pause) await page.emulateNetworkConditions(SLOW_NETWORK)
  await page.locator('button.uppy-StatusBar-actionBtn--upload').click()
  if (options.pause) await pauseAndResume(page)
  const bar = await page.waitForSelector('.uppy-StatusBar:is(.is-complete, .is-error)')
  return bar.evaluate((found) => (found.classList.contains('is-error') ? 'error' : 'success'))
}

const browser = await openBrowser()
try {
  const page = await browser.newPage()
  page.setDefaultTimeout(timeout)
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`${message.text()} ${message.location().url ?? ''}`)
  })
  page.on('requestfailed', (request) => {
    exchanges.push({ method: request.method(), url: request.url(), failed: request.failure()?.errorText })
  })
  page.on('response', (response) => {
    exchanges.push({ method: response.request().method(), url: response.url(), status: response.status() })
  })
  const outcome = await upload(page).catch(String)
  const fileId = await page.$eval('#file-id', (found) => found.value)
  await page.screenshot({ path: options.screenshot })
  console.log(JSON.stringify({ outcome, file_id: fileId || null, complaints, exchanges }))
} finally {
  await browser.close()
}
