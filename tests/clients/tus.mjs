// tus-js-client's options as a command line; prints one line of JSON that says what happened.
import { createHash } from 'node:crypto'
import { createReadStream, readFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { basename } from 'node:path'
import { PassThrough } from 'node:stream'
import { parseArgs } from 'node:util'
import { DefaultHttpStack, FileUrlStorage, Upload } from 'tus-js-client'

const { values: options } = parseArgs({
  options: {
    endpoint: { type: 'string' },
    file: { type: 'string' },
    // Several: the next one is taken, as after a new sign-in, when the API refuses the one in use.
    token: { type: 'string', multiple: true },
    // With how many requests each token is used, before the next one takes its place anyway.
    'requests-per-token': { type: 'string', default: 'Infinity' },
    protocol: { type: 'string', default: 'tus-v1' },
    'content-type': { type: 'string', default: 'application/octet-stream' },
    'chunk-bytes': { type: 'string', default: 'Infinity' },
    parallel: { type: 'string', default: '1' },
    'deferred-length': { type: 'boolean', default: false },
    'data-during-creation': { type: 'boolean', default: false },
    // Where the addresses of unfinished uploads are kept; an upload that is found there is resumed.
    storage: { type: 'string' },
    // Stop in the middle of the request that takes the upload beyond this.
    'pause-after-bytes': { type: 'string', default: 'Infinity' },
    // Have the server forget the upload that was paused.
    terminate: { type: 'boolean', default: false },
    checksum: { type: 'string' },
    // The numbers of the PATCH requests, from 0, whose checksum is wrong.
    'wrong-checksum': { type: 'string', multiple: true, default: [] },
    retry: { type: 'string', multiple: true, default: [] },
  },
})

const RETRY_DELAYS_MS = [0, 50, 200]
const chunkBytes = Number(options['chunk-bytes'])
const agent = new Agent({ keepAlive: true })
const retriedStatuses = new Set(options.retry.map(Number))
const exchanges = []
let patches = 0
let tokenIndex = 0
let tokenUses = 0

function authorization() {
  if (tokenUses++ >= Number(options['requests-per-token'])) renewToken()
  return `Bearer ${options.token[tokenIndex]}`
}

function renewToken() {
  tokenIndex = Math.min(tokenIndex + 1, options.token.length - 1)
  tokenUses = 1
}

// The client has no checksum extension of its own, but lets its user add headers to each request.
function addChecksum(request) {
  if (!options.checksum || request.getMethod() !== 'PATCH') return
  const start = Number(request.getHeader('Upload-Offset'))
  const chunk = readFileSync(options.file).subarray(start, start + chunkBytes)
  const hash = createHash(options.checksum).update(chunk)
  if (options['wrong-checksum'].includes(String(patches++))) hash.update('something else')
  request.setHeader('Upload-Checksum', `${options.checksum} ${hash.digest('base64')}`)
}

function shouldRetry(error) {
  const status = error.originalResponse?.getStatus()
  if (status === 401) renewToken()
  return status === undefined || status >= 500 || retriedStatuses.has(status)
}

function source() {
  if (options['deferred-length']) return createReadStream(options.file).pipe(new PassThrough())
  // With the protocols of the drafts the client tells the end of a buffer only, not that of a file.
  return options.protocol === 'tus-v1' ? createReadStream(options.file) : readFileSync(options.file)
}

let ended = false

function finish(outcome, more = {}) {
  if (ended) return
  ended = true
  console.log(JSON.stringify({ outcome, url: upload.url, exchanges, ...more }))
  // Node.js stops sending a body whose request is answered early, and would wait for that connection's end.
  agent.destroy()
}

const upload = new Upload(source(), {
  httpStack: new DefaultHttpStack({ agent }),
  endpoint: options.endpoint,
  protocol: options.protocol,
  chunkSize: chunkBytes,
  parallelUploads: Number(options.parallel),
  uploadLengthDeferred: options['deferred-length'],
  uploadDataDuringCreation: options['data-during-creation'],
  metadata: { filename: basename(options.file), filetype: options['content-type'] },
  retryDelays: RETRY_DELAYS_MS,
  removeFingerprintOnSuccess: true,
  ...(options.storage && { urlStorage: new FileUrlStorage(options.storage) }),
  onBeforeRequest(request) {
    request.setHeader('Authorization', authorization())
    addChecksum(request)
  },
  onAfterResponse(request, response) {
    exchanges.push({
      method: request.getMethod(),
      status: response.getStatus(),
      sent_offset: request.getHeader('Upload-Offset') ?? null,
      offset: response.getHeader('Upload-Offset') ?? null,
    })
  },
  onShouldRetry: shouldRetry,
  onProgress(sentBytes) {
    if (sentBytes > Number(options['pause-after-bytes'])) {
      upload.abort(options.terminate).then(() => finish('paused'))
    }
  },
  onSuccess({ lastResponse }) {
    finish('success', { file_id: lastResponse.getHeader('Dropbell-File-Id') ?? null })
  },
  onError(error) {
    finish('error', {
      message: error.message,
      status: error.originalResponse?.getStatus() ?? null,
      body: error.originalResponse?.getBody() ?? null,
    })
  },
})

if (options.storage) {
  const [previous] = await upload.findPreviousUploads()
  if (previous) upload.resumeFromPreviousUpload(previous)
}
upload.start()
