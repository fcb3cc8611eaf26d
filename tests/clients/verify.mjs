// The verifier of the Standard Webhooks project (npm) as a command line: what it says to a message that the
// inbox recorded, for each secret; prints one line of JSON.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Webhook, WebhookVerificationError } from 'standardwebhooks'

const { values: options } = parseArgs({
  options: {
    message: { type: 'string' }, // a file: JSON with headers and body
    secret: { type: 'string', multiple: true },
  },
})

const { headers, body } = JSON.parse(readFileSync(options.message, 'utf8'))

function verdict(secret) {
  try {
    return { accepted: true, event: new Webhook(secret).verify(body, headers) }
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error
    return { accepted: false, why: error.message }
  }
}

process.stdout.write(`${JSON.stringify({ verdicts: options.secret.map(verdict) })}\n`)
