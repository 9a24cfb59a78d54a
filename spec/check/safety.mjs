// The safety code of two accounts (identity.md section 10).

import { readFileSync } from 'node:fs'
import { keyed } from './blake2b.mjs'
import { expectEqual, hex, need, unhex } from './refusal.mjs'

const WORDS = readFileSync(new URL('../words.txt', import.meta.url), 'utf8').trim().split('\n')

export const RUNNERS = {
  'safety-code': (vector) => {
    const [one, other] = vector.accounts.map((account) => Buffer.from(unhex(account)))
    const order = Buffer.compare(one, other)
    need(one.length === 32 && other.length === 32 && order !== 0, 'bad-value')
    const key = order < 0 ? Buffer.concat([one, other]) : Buffer.concat([other, one])
    const digest = keyed(key, 'tf1 safety')
    const number = BigInt(`0x${hex(digest)}`) % 10n ** 60n
    const code = number.toString().padStart(60, '0').match(/.{5}/g).join(' ')
    expectEqual({ code, words: [...digest].slice(0, 24).map((byte) => WORDS[byte]) }, vector.decoded)
  },
}
