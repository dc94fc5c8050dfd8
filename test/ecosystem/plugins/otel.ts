import assert from 'node:assert/strict'
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { type Row, versioned } from '../row.ts'

type TracerProvider = Parameters<FastifyOtelInstrumentation['setTracerProvider']>[0]
type Tracer = ReturnType<TracerProvider['getTracer']>
type Span = ReturnType<Tracer['startSpan']>
type Attributes = Parameters<Span['setAttributes']>[0]

export const otelRow: Row = {
  name: versioned('@fastify/otel'),
  shows: 'has a span, which ends with its head and tells the route and the status',
  async run(stage) {
    const tracer = new SpanKeeper()
    const instrumentation = new FastifyOtelInstrumentation()
    instrumentation.setTracerProvider({ getTracer: () => tracer })
    const app = await stage.build((app) => app.register(instrumentation.plugin()))
    const streams = stage.addStream(app)
    const client = await stage.open(`${await stage.listen(app)}/events`)
    const span = tracer.spans.find(({ name }) => name === 'request')
    assert.equal(span?.hasEnded, true)
    assert.equal(span.attributes['http.route'], '/events')
    assert.equal(span.attributes['http.response.status_code'], 200)
    await streams[0]?.send('later')
    await client.until('later')
  }
}

/** Keeps the spans, as an exporter would. */
class SpanKeeper implements Tracer {
  readonly spans: KeptSpan[] = []

  startSpan(name: string, options?: { attributes?: Attributes }): KeptSpan {
    const span = new KeptSpan(name, options?.attributes)
    this.spans.push(span)
    return span
  }

  startActiveSpan(): never {
    throw new Error('@fastify/otel has not used it so far')
  }
}

class KeptSpan implements Span {
  readonly name: string
  readonly attributes: Attributes
  hasEnded = false

  constructor(name: string, attributes: Attributes = {}) {
    this.name = name
    this.attributes = { ...attributes }
  }

  setAttributes(attributes: Attributes): this {
    Object.assign(this.attributes, attributes)
    return this
  }

  setAttribute(key: string, value: Attributes[string]): this {
    return this.setAttributes({ [key]: value })
  }

  end(): void {
    this.hasEnded = true
  }

  isRecording(): boolean {
    return !this.hasEnded
  }

  spanContext(): ReturnType<Span['spanContext']> {
    return { traceId: '1'.repeat(32), spanId: '1'.repeat(16), traceFlags: 1 }
  }

  addEvent(): this {
    return this
  }

  addLink(): this {
    return this
  }

  addLinks(): this {
    return this
  }

  setStatus(): this {
    return this
  }

  updateName(): this {
    return this
  }

  recordException(): void {}
}
