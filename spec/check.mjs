// Runs the vectors against a second reading of the specification, in JavaScript: `npm ci && node check.mjs`.
// Not read here, and counted apart: what a relay or daemon decides by all that it holds (admission, inbound), and the
// transcripts of sessions. Each would be a relay or daemon of its own; what is signed and sealed in them is read by kind.

import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sodium from 'libsodium-wrappers-sumo'
import * as account from './check/account.mjs'
import * as backup from './check/backup.mjs'
import { decode, encode } from './check/cbor.mjs'
import { checkEncryptionKey, checkSigningKey, verify } from './check/cose.mjs'
import * as documents from './check/documents.mjs'
import * as envelope from './check/envelope.mjs'
import * as handoff from './check/handoff.mjs'
import * as invites from './check/invites.mjs'
import * as linking from './check/linking.mjs'
import { readContent } from './check/messages.mjs'
import { Refusal, expectEqual, hex, same, unhex } from './check/refusal.mjs'
import * as safety from './check/safety.mjs'
import * as sealing from './check/sealing.mjs'
import * as tasks from './check/tasks.mjs'

const RUNNERS = {
  ...account.RUNNERS,
  ...backup.RUNNERS,
  ...safety.RUNNERS,
  ...invites.RUNNERS,
  ...documents.RUNNERS,
  ...sealing.RUNNERS,
  ...envelope.RUNNERS,
  ...tasks.RUNNERS,
  ...handoff.RUNNERS,
  ...linking.RUNNERS,
  cbor: (vector) => {
    const data = unhex(vector.input)
    if (!same(encode(decode(data, vector.limit)), data)) throw new Error('written otherwise')
  },
  cose: (vector) => {
    const { key, payload } = verify(unhex(vector.input), vector.purpose, vector.limit)
    if (vector.decoded) expectEqual({ key: hex(key), payload: hex(payload) }, vector.decoded)
  },
  'ed25519-key': (vector) => checkSigningKey(unhex(vector.input)),
  'x25519-key': (vector) => checkEncryptionKey(unhex(vector.input)),
  message: (vector) => readContent(unhex(vector.input), vector.class),
}

function codeOf(vector) {
  try {
    RUNNERS[vector.kind](vector)
    return 'accept'
  } catch (error) {
    return error instanceof Refusal ? error.code : `error: ${error.stack}`
  }
}

await sodium.ready
const folder = join(dirname(fileURLToPath(import.meta.url)), 'vectors')
const counts = { passed: 0, failed: 0, left: 0 }
for (const file of readdirSync(folder, { recursive: true }).sort()) {
  if (!file.endsWith('.json')) continue
  const vector = JSON.parse(readFileSync(join(folder, file), 'utf8'))
  if (!RUNNERS[vector.kind]) {
    counts.left += 1
    continue
  }
  const code = codeOf(vector)
  if (code === vector.expect) counts.passed += 1
  else {
    counts.failed += 1
    console.log(`${file}: expected ${vector.expect}, got ${code}`)
  }
}
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.left} of kinds that are not read here`)
process.exitCode = counts.failed === 0 && counts.passed > 0 ? 0 : 1
