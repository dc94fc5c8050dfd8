import t from 'tap'
import { describe, expected } from '../../lib/base/errors.ts'

t.test('errors › a value is shown with its type, in bounds, whatever it is', async (t) => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const hostile = {
    get [Symbol.toStringTag](): string {
      throw new Error('hostile')
    }
  }
  const table: [unknown, string][] = [
    ['a', "'a' (string)"],
    [null, 'null (null)'],
    [[1], '[ 1 ] (array)'],
    [proxy, 'a value that cannot be shown (object)']
  ]
  for (const [value, shown] of table) t.equal(describe(value), shown)
  t.match(describe(hostile), /\(object\)$/, 'some versions of Node ask for the tag, some do not')
  const huge = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`key${index}`, index]))
  for (const value of [huge, Object.keys(huge), 'x'.repeat(1e6), 10n ** 5000n])
    t.ok(describe(value).length < 160)
  t.equal(expected('drainMs', 'a number', true), 'Expected drainMs to be a number, got true (boolean)')
})
