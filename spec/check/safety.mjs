// The safety code of two accounts (identity.md section 10).

import { keyed } from './blake2b.mjs'
import { expectEqual, hex, need, unhex } from './refusal.mjs'

export const RUNNERS = {
  'safety-code': (vector) => {
    const [one, other] = vector.accounts.map((account) => Buffer.from(unhex(account)))
    const order = Buffer.compare(one, other)
    need(one.length === 32 && other.length === 32 && order !== 0, 'bad-value')
    const key = order < 0 ? Buffer.concat([one, other]) : Buffer.concat([other, one])
    const number = BigInt(`0x${hex(keyed(key, 'tf1 safety'))}`) % 10n ** 60n
    expectEqual({ code: number.toString().padStart(60, '0').match(/.{5}/g).join(' ') }, vector.decoded)
  },
}
