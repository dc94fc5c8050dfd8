import type { DelaySummary } from '../process/delays.ts'
import { serve } from '../process/rpc.ts'
import { type ChurnOptions, churn } from './churn.ts'
import type { Totals } from './counted-stream.ts'
import { type PipelineOptions, pipeline } from './pipeline.ts'
import { type ProbeOptions, type ProbeResult, probe } from './probe.ts'
import { Requests, type RequestsOptions } from './requests.ts'
import { type Bodies, type CatchUp, type CatchUpOptions, type OpenOptions, Streams } from './streams.ts'

const streams = new Streams()
const requests = new Requests()

/** The load client: what the runner may ask of it. */
const methods = {
  open: (options: OpenOptions): Promise<void> => streams.open(options),
  receive: (expected: Partial<Totals>, patienceMs?: number): Promise<Totals> =>
    streams.receive(expected, patienceMs),
  catchUp: (options: CatchUpOptions): Promise<CatchUp> => streams.catchUp(options),
  totals: (): Totals => streams.totals,
  delays: (): DelaySummary => streams.delays(),
  bodies: (): Bodies => streams.bodies(),
  reset: (): void => streams.reset(),
  request: (options: RequestsOptions): Promise<void> => requests.run(options),
  probe: (options: ProbeOptions): Promise<ProbeResult> => probe(options),
  churn: (options: ChurnOptions): Promise<number> => churn(options),
  pipeline: (options: PipelineOptions): Promise<number> => pipeline(options)
}

export type ClientMethods = typeof methods

serve(methods)
