import type { IncomingMessage, ServerResponse } from 'node:http'
import { BareStream } from '../contestant.ts'
import { fillUp } from '../workloads.ts'
import { serveBare } from './bare.ts'
import { type ChannelContestant, frameOf } from './contestant.ts'

/** The bare loop over responses. Who comes back is written all that was kept, at once. */
export async function start(): Promise<ChannelContestant> {
  const responses = new Set<ServerResponse>()
  let kept = ''
  const contestant = serveBare(responseOnOpen)
  return {
    ...contestant,
    publish(data) {
      const frame = frameOf(data, 100)
      for (const response of responses) response.write(frame)
    },
    async keep(data, messages) {
      kept = Array.from({ length: messages }, (_, i) => frameOf(data, i + 2)).join('')
      return '1'
    },
    stuck: () => [...responses].filter(({ writableLength }) => writableLength > 0).length
  }

  function responseOnOpen(response: ServerResponse, { url, headers }: IncomingMessage): void {
    responses.add(response)
    response.once('close', () => responses.delete(response))
    if (headers['last-event-id'] !== undefined) response.write(kept)
    if (url === '/?fill') void fillUp(new BareStream(response))
  }
}
