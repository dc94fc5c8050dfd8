import t from 'tap'
import { describe, errorOf, expected, FST_ERR_EVENTSTREAM_INVALID_MESSAGE } from '../../lib/base/errors.ts'

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
  for (const value of [huge, { huge }, Object.keys(huge), new Map(Object.entries(huge)), 'x'.repeat(1e6)])
    t.ok(describe(value).length < 160)
  t.equal(describe(huge), '{…} (object)', 'and its keys are not looked at one by one')
  t.equal(describe(10n ** 50_000n), 'a large bigint (bigint)')
})

t.test(
  'errors › what is checked is told by its name and rule, and its value only by a hidden cause',
  async (t) => {
    const table: [unknown, string][] = [
      ['secret', 'a string'],
      [42, 'a number'],
      [{ secret: 1 }, 'an object'],
      [['secret'], 'an array'],
      [null, 'null'],
      [undefined, 'undefined']
    ]
    for (const [value, kind] of table)
      t.equal(expected('it', 'a date', value), `Expected it to be a date, got ${kind}`)
    const error = errorOf(
      FST_ERR_EVENTSTREAM_INVALID_MESSAGE,
      ['message.data', 'short', 'secret'],
      'x'.repeat(1e6)
    )
    t.match(error.cause, /^'secret' \(string\)x+…$/)
    t.ok(String(error.cause).length < 160)
    t.notMatch(JSON.stringify({ ...error, text: error.stack }), 'secret')
  }
)
