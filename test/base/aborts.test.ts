import t from 'tap'
import { isAbortOf } from '../../lib/base/aborts.ts'

class APIUserAbortError extends Error {}

const controller = new AbortController()
const stopped = Object.assign(new DOMException('The event stream ended: client', 'AbortError'), {
  reason: 'client'
})
const circular = new Error('circular')
circular.cause = circular

const aborts: Record<string, unknown> = {
  'the reason itself': stopped,
  'what Node makes of it': Object.assign(new Error('x', { cause: stopped }), {
    name: 'AbortError',
    code: 'ABORT_ERR'
  }),
  'an error without the reason, as of the SDK of OpenAI': new APIUserAbortError('Request was aborted.'),
  'an error of axios': Object.assign(new Error('canceled'), { name: 'CanceledError', code: 'ERR_CANCELED' }),
  'a wrapped one': new Error('a', { cause: new Error('b', { cause: new Error('c', { cause: stopped }) }) }),
  several: new AggregateError([stopped, new Error('a', { cause: stopped })])
}
const failures: Record<string, unknown> = {
  'another error': new Error('failed', { cause: new Error('failed') }),
  'a real one among several': new AggregateError([stopped, new Error('failed')]),
  'none of several': new AggregateError([]),
  'a circular one': circular,
  'no error': 'AbortError',
  'an object without a prototype': Object.create(null),
  nothing: undefined
}

t.test('isAbortOf › what SDKs make of an abort is one, as soon as the signal has aborted', async (t) => {
  for (const [name, error] of Object.entries(aborts)) t.equal(isAbortOf(controller, error), false, name)
  controller.abort(stopped)
  for (const [name, error] of Object.entries(aborts)) t.equal(isAbortOf(controller, error), true, name)
  for (const [name, error] of Object.entries(failures)) t.equal(isAbortOf(controller, error), false, name)
})
