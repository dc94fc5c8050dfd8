import t from 'tap'
import { Receiver } from './receiver.ts'
import type { Received } from './run-log.ts'

const STREAM = ':\nid: a-1\n\nid: a-2\nevent: tick\ndata: 1\n\ndata: ü\n\n'
const PLACES = [
  { at: 0, start: 2, id: 'a-1', event: undefined, data: '' },
  { at: 0, start: 11, id: 'a-2', event: 'tick', data: '1' },
  { at: 0, start: 40, id: 'a-2', event: 'message', data: 'ü' }
]

t.test('Receiver › writes down the same wherever the bytes are cut', async (t) => {
  const bytes = Buffer.from(STREAM)
  for (let size = 1; size <= bytes.length; size++) {
    const receiver = new Receiver({ resumedFrom: undefined, momentOf: () => 0 })
    for (let start = 0; start < bytes.length; start += size)
      receiver.feed(bytes.subarray(start, start + size))
    receiver.end()
    t.same([receiver.received, receiver.refusal], [PLACES, undefined])
  }
})

t.test('Receiver › a message that is cut does not count', async (t) => {
  const receiver = new Receiver({ resumedFrom: 'a-1', momentOf: () => 0 })
  receiver.feed(Buffer.from('id: a-2\ndata: 1\n'))
  t.same([receiver.received, receiver.lastEventId], [[], 'a-1'])
  receiver.end()
  t.match(receiver.refusal, 'a cut block')
})

t.test('Receiver › reads nothing after what it refused', async (t) => {
  const receiver = new Receiver({ resumedFrom: undefined, momentOf: () => 0 })
  receiver.feed(Buffer.from('\n\nid: a-1\n\n'))
  t.match(receiver.refusal, 'a blank line that ends nothing')
  t.same([receiver.received, receiver.lastEventId], [[], undefined])
})

t.test('Receiver › what follows the last block that was wanted has never come', async (t) => {
  const wantsMore = ({ id }: Received): boolean => id !== 'a-2'
  const receiver = new Receiver({ resumedFrom: undefined, momentOf: () => 0, wantsMore })
  receiver.feed(Buffer.from(STREAM))
  receiver.end()
  t.same([receiver.received, receiver.refusal], [PLACES.slice(0, 2), undefined])
})
