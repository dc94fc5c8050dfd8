import { type EventSourceMessage, EventSourceParserStream } from 'eventsource-parser/stream'

/** The messages of a response, one after another, as a client sees them. */
export async function* messagesOf(response: Response): AsyncGenerator<EventSourceMessage> {
  if (response.body === null) throw new Error('the response has no body')
  const stream = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
  yield* stream
}
