import type { EncoderName } from '../servers/encode-main.ts'
import { type Context, compare, pairedRounds, type Row, type Scenario } from './scenario.ts'

const EVENTS = 500_000
const ENCODERS: readonly EncoderName[] = ['declared events', 'JSON.stringify', 'JSON.stringify alone']
const MAX_RATIO = 0.8

async function run(context: Context): Promise<Row[]> {
  const results = await pairedRounds(context.rounds, ENCODERS, (name) =>
    context.withEncoder(async (child) => {
      await child.call('encode', name, EVENTS)
      return child.call('encode', name, EVENTS)
    })
  )
  return compare(
    { measure: 'CPU per event', unit: 'µs' },
    results,
    { 'JSON.stringify': MAX_RATIO },
    'declared events'
  )
}

export const schema: Scenario = {
  name: 'schema',
  about: 'quotes of 10 fields become events, with a schema and without',
  run
}
