// A headless browser that needs nothing to be installed: Chromium comes as an npm package.
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import puppeteer from 'puppeteer-core'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const folder = here('node_modules/.cache')
const unpacked = join(folder, 'chromium')

// No flag that makes the browser less strict about web pages: cross-origin rules are part of the test.
// The sandbox needs rights that containers and root do not have; the only page is our own.
const ARGS = ['--no-sandbox', '--disable-dev-shm-usage'] // /dev/shm is small in containers

export async function openBrowser() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return puppeteer.launch({ channel: 'chrome', args: ARGS }) // the package is for Linux on x64 only
  }
  if (!existsSync(unpacked)) await unpack()
  return puppeteer.launch({
    executablePath: join(unpacked, 'chromium'),
    headless: 'shell',
    args: ARGS,
    env: {
      ...process.env,
      LD_LIBRARY_PATH: join(unpacked, 'al2023', 'lib'),
      FONTCONFIG_FILE: here('fonts.conf'),
    },
  })
}

async function unpack() {
  await mkdir(folder, { recursive: true })
  const unfinished = await mkdtemp(join(folder, 'chromium-'))
  const { TMPDIR } = process.env
  process.env.TMPDIR = unfinished // where the package unpacks itself
  process.env.AWS_LAMBDA_JS_RUNTIME = 'nodejs22.x' // it then brings the shared libraries as well
  try {
    const { default: chromium } = await import('@sparticuz/chromium')
    await chromium.executablePath()
    await rename(unfinished, unpacked)
  } catch (error) {
    await rm(unfinished, { recursive: true })
    if (!existsSync(unpacked)) throw error // else somebody was quicker
  } finally {
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
  }
}
