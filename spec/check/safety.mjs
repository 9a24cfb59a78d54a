// The safety code of two accounts (identity.md section 10).

import sodium from 'libsodium-wrappers-sumo'
import { expectEqual, need, unhex } from './refusal.mjs'

export const RUNNERS = {
  'safety-code': (vector) => {
    const [one, other] = vector.accounts.map((account) => Buffer.from(unhex(account)))
    const order = Buffer.compare(one, other)
    need(one.length === 32 && other.length === 32 && order !== 0, 'bad-value')
    const key = order < 0 ? Buffer.concat([one, other]) : Buffer.concat([other, one])
    const person = new Uint8Array(16)
    person.set(new TextEncoder().encode('tf1 safety'))
    const digest = sodium.crypto_generichash_blake2b_salt_personal(32, key, new Uint8Array(16), person)
    const number = BigInt(`0x${Buffer.from(digest).toString('hex')}`) % 10n ** 60n
    expectEqual({ code: number.toString().padStart(60, '0').match(/.{5}/g).join(' ') }, vector.decoded)
  },
}
