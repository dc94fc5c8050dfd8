import t from 'tap'
import { z } from 'zod'
import type { EventSchemas, SSEConnection } from '../../lib/index.ts'
import { build, logger } from '../helpers/server.ts'

const SECRET = '$2b$10$hash-of-ann@example.org'

/** Says what it got, as some validators do. */
const TALKATIVE = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (data: unknown) => ({ issues: [{ message: `no ${JSON.stringify(data)}`, path: [SECRET] }] })
  }
} as const
const THROWING = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate(data: unknown): never {
      throw new Error(`cannot check ${JSON.stringify(data)}`)
    }
  }
} as const
const ROW = { type: 'object', properties: { passwordHash: { type: 'integer' } }, required: ['passwordHash'] }
const MAP = { type: 'object', additionalProperties: { type: 'integer' } }
const UNION = { anyOf: [ROW, { type: 'array', items: MAP }], unevaluatedProperties: false }

/** What the schema is, the data, and what the answer says of it. */
const ROWS: readonly (readonly [name: string, schema: EventSchemas[string], data: unknown, says: string])[] =
  [
    ['a field', ROW, { passwordHash: SECRET }, '(data/passwordHash must be integer), got an object'],
    ['keys that are data', MAP, { [SECRET]: 'x' }, '(data/* must be integer), got an object'],
    ['a union', UNION, [{ [SECRET]: SECRET }], 'data/*/* must be integer'],
    ['all of it', { const: 'x' }, SECRET, '(data must be equal to constant), got a string'],
    [
      'Zod',
      z.object({ passwordHash: z.number() }),
      { passwordHash: SECRET },
      '(data/passwordHash), got an object'
    ],
    ['a record of Zod', z.record(z.string(), z.number()), { [SECRET]: SECRET }, '(data/*), got an object'],
    ['keys too many for Zod', z.strictObject({}), { [SECRET]: 1 }, '(data), got an object'],
    ['a validator that quotes', TALKATIVE, SECRET, '(data/*), got a string'],
    ['a validator that throws', THROWING, SECRET, 'the schema of "row" allows, got a string'],
    ['a getter that throws', ROW, throwing(), 'the schema of "row" allows, got an object']
  ]

function throwing(): object {
  const get = (): never => {
    throw new Error(SECRET)
  }
  return Object.defineProperty({}, 'passwordHash', { enumerable: true, get })
}

t.test(
  'secrets › an error that is answered and logged as it is has nothing of what was published',
  async (t) => {
    const { lines, options } = logger()
    const app = await build(t, {}, { logger: options })
    const rows = ROWS.map(([name, schema], index) => {
      const channel = app.sse.channel(`${index}`, { events: { row: schema } })
      app.post(`/${index}`, () => channel.publish({ event: 'row', data: ROWS[index]?.[2] }))
      app.get(`/${index}`, { eventStream: { events: { row: schema } } }, async (_request, reply) => {
        await reply.sseStart().send({ event: 'row', data: ROWS[index]?.[2] })
      })
      return name
    })
    for (const [index, name] of rows.entries()) {
      for (const method of ['POST', 'GET'] as const) {
        const response = await app.inject({ method, url: `/${index}` })
        t.equal(response.statusCode, 500, name)
        t.match(response.json(), { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' }, name)
        t.ok(response.json().message.includes(ROWS[index]?.[3]), `${name}: ${response.json().message}`)
        t.notMatch(response.body, SECRET, name)
      }
    }
    t.equal(lines.filter(({ err }) => err !== undefined).length, 2 * rows.length)
    t.notOk(JSON.stringify(lines).includes(SECRET), 'nor has the log')
  }
)

t.test('secrets › nor has one of what else a call was given', async (t) => {
  const { lines, options } = logger()
  const app = await build(t, {}, { logger: options })
  const calls: Record<string, (sse: SSEConnection) => unknown> = {
    id: (sse) => sse.send({ id: `${SECRET} `, data: 1 }),
    event: (sse) => sse.send({ event: `${SECRET}\n`, data: 1 }),
    retry: (sse) => sse.send({ retry: SECRET as unknown as number }),
    field: (sse) => sse.send({ [SECRET]: 1 } as object),
    list: (sse) => sse.send([SECRET] as unknown as string),
    surrogate: (sse) => sse.send(`${SECRET}\ud83d`),
    comment: (sse) => sse.comment([SECRET] as unknown as string),
    source: (sse) => sse.sendAll({ SECRET } as unknown as Iterable<string>),
    option: (sse) => app.sse.channel('a').subscribe(sse, { resume: SECRET as unknown as boolean }),
    filter: (sse) => app.sse.channel('a').subscribe(sse, { filter: SECRET as unknown as () => true }),
    key: () => app.sse.publish('a', 'x', { key: `${SECRET}\ud83d` }),
    idempotencyKey: () => app.sse.publish('a', 'x', { idempotencyKey: SECRET.repeat(99) }),
    channel: () => app.sse.channel(SECRET.repeat(99))
  }
  for (const [name, call] of Object.entries(calls)) {
    app.get(`/${name}`, async (_request, reply) => {
      await call(reply.sseStart())
    })
  }
  app.get('/start', async (_request, reply) =>
    reply.sseStart({ context: 1, heartbeatMs: SECRET as unknown as number })
  )
  for (const name of [...Object.keys(calls), 'start']) {
    const response = await app.inject(`/${name}`)
    t.equal(response.statusCode, 500, name)
    t.match(response.json().code, /^FST_ERR_EVENTSTREAM_/, response.body)
    t.notOk(response.body.includes(SECRET), response.body)
  }
  t.notOk(JSON.stringify(lines).includes(SECRET))
})

t.test('secrets › a large body that does not fit takes no longer than its check', async (t) => {
  const app = await build(t)
  const channel = app.sse.channel('large', { events: { row: ROW } })
  const data = Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`key ${index}`, `${index}`]))
  const error = await Promise.resolve()
    .then(() => channel.publish({ event: 'row', data }))
    .catch((error: unknown) => error)
  t.match(error, { message: /must have required property 'passwordHash'/, cause: /^\{…\} \(object\)/ })
})
