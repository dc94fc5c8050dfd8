import { DeclaredEvents } from '../../../lib/wire/declared-events.ts'
import { encodeMessage } from '../../../lib/wire/frame.ts'
import { serve } from '../process/rpc.ts'
import { cpu } from './vitals.ts'

export type EncoderName = 'declared events' | 'JSON.stringify' | 'JSON.stringify alone'

const QUOTES = 1_000
const QUOTE = {
  type: 'object',
  properties: {
    symbol: { type: 'string' },
    venue: { type: 'string' },
    bid: { type: 'number' },
    ask: { type: 'number' },
    last: { type: 'number' },
    open: { type: 'number' },
    high: { type: 'number' },
    low: { type: 'number' },
    volume: { type: 'integer' },
    at: { type: 'integer' }
  },
  required: ['symbol', 'venue', 'bid', 'ask', 'last', 'open', 'high', 'low', 'volume', 'at']
}
const OPTIONS = { serializer: JSON.stringify, maxMessageBytes: 1_048_576 }

const quotes = Array.from({ length: QUOTES }, (_, i) => ({
  symbol: `ABC${i}`,
  venue: 'XNAS',
  bid: 189.12 + i / 100,
  ask: 189.15 + i / 100,
  last: 189.13,
  open: 187.5,
  high: 190.25,
  low: 186.75,
  volume: 12_345_678 + i,
  at: 1_795_290_000_000 + i
}))
const declared = new DeclaredEvents({ quote: QUOTE })

const ENCODERS: Record<EncoderName, (data: object) => string> = {
  'declared events': (data) => encodeMessage({ event: 'quote', data }, OPTIONS, declared).text,
  'JSON.stringify': (data) => encodeMessage({ event: 'quote', data }, OPTIONS).text,
  'JSON.stringify alone': (data) => JSON.stringify(data)
}

/** A process that makes the text of events: what the runner may ask of it. */
const methods = {
  /** @returns microseconds of CPU for each. */
  encode(name: EncoderName, events: number): number {
    const encode = ENCODERS[name]
    let length = 0
    const before = cpu()
    for (let i = 0; i < events; i++) length += encode(quotes[i % QUOTES] as object).length
    const used = cpu() - before
    if (length < events * 100) throw new Error('these are not the events')
    return used / events
  }
}

export type EncodeMethods = typeof methods

serve(methods)
