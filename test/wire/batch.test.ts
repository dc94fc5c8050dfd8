import t from 'tap'
import { Batch, idBatch, withId } from '../../lib/wire/batch.ts'

t.test('Batch › is one chunk of HTTP/1.1, whose size is in bytes', async (t) => {
  const batch = new Batch('data: é😀\n\n', 1)
  t.equal(batch.chunk.toString(), 'e\r\ndata: é😀\n\n\r\n')
  t.equal(batch.byteLength, 14)
  t.equal(batch.messages, 1)
})

t.test('Batch › its payload is in the chunk, and no copy', async (t) => {
  const batch = new Batch('data: é\n\n', 1)
  t.equal(Buffer.from(batch.payload).toString(), 'data: é\n\n')
  t.equal(batch.payload.buffer, batch.chunk.buffer)
})

t.test('withId › puts the id before the fields of a message', async (t) => {
  t.equal(withId('7', 'event: x\ndata: 1\n\n'), 'id: 7\nevent: x\ndata: 1\n\n')
})

t.test('idBatch › tells a place by an event, or by the id alone', async (t) => {
  const textOf = ({ payload }: Batch): string => Buffer.from(payload).toString()
  t.equal(textOf(idBatch('7', 'sse-cursor')), 'id: 7\nevent: sse-cursor\ndata: {}\n\n')
  t.equal(textOf(idBatch('7', false)), 'id: 7\n\n')
  t.equal(idBatch('7', 'sse-cursor').messages, 0, 'which is no message')
})
