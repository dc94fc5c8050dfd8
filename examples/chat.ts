/**
 * Two rooms on one connection, with what was said there, and who is typing. Start it with `npx tsx examples/chat.ts`, then
 * open the page in two windows. Reload one, cut the connection, or stop the server and start it again.
 */
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import Fastify, { type FastifyInstance } from 'fastify'
import eventStream from '../lib/index.ts' // 'fastify-eventstream' in your project

const ROOMS = ['lobby', 'garden']

interface Said {
  room: string
  name: string
  text: string
  time: number
}

interface Typing {
  room: string
  name: string
  isTyping: boolean
}

export default async function chat(app: FastifyInstance): Promise<void> {
  /** What a new page gets, and of which a page that comes back gets what it missed. */
  await app.register(eventStream, { channels: { '*': { maxMessages: 200, maxAgeMs: false } } })

  app.get('/events', (_request, reply) => {
    const sse = reply.sseStart()
    sse.send({ retry: 1_000 })
    app.sse.subscribe(sse, ROOMS, { from: 'oldest' })
  })

  const name = { type: 'string', minLength: 1, maxLength: 30 }
  const text = { type: 'string', pattern: '\\S', maxLength: 1_000 }
  const isTyping = { type: 'boolean' }

  app.post<{ Params: Pick<Said, 'room'>; Body: Pick<Said, 'name' | 'text'> }>(
    '/rooms/:room/messages',
    { schema: schemaOf({ name, text }) },
    async ({ params: { room }, body: { name, text } }, reply) => {
      const said: Said = { room, name, text, time: Date.now() }
      const id = await app.sse.channel<{ said: Said }>(room).publish({ event: 'said', data: said })
      await tellTyping({ room, name, isTyping: false })
      return reply.code(201).send({ id })
    }
  )

  app.post<{ Params: Pick<Typing, 'room'>; Body: Pick<Typing, 'name' | 'isTyping'> }>(
    '/rooms/:room/typing',
    { schema: schemaOf({ name, isTyping }) },
    async ({ params: { room }, body: { name, isTyping } }, reply) => {
      await tellTyping({ room, name, isTyping })
      return reply.code(204).send()
    }
  )

  /** For those who are there: nothing of it is kept, and to miss it is no loss. */
  function tellTyping(data: Typing): Promise<string> {
    return app.sse.channel<{ typing: Typing }>(data.room).publish({ event: 'typing', data }, { keep: false })
  }

  /** Breaks all streams off as a bad network would, so that one can watch them come back. */
  app.post('/cut', async (_request, reply) => {
    for (const sse of app.sse.connections) sse.destroy()
    return reply.code(204).send()
  })

  app.register(fastifyStatic, { root: ['chat', 'style'].map((folder) => join(import.meta.dirname, folder)) })
}

/** What a post to a room must be like. */
function schemaOf(properties: object): object {
  const params = { type: 'object', properties: { room: { enum: ROOMS } } }
  return { params, body: { type: 'object', required: Object.keys(properties), properties } }
}

/** By itself: `npx tsx examples/chat.ts`. */
if (process.argv[1] === import.meta.filename) {
  const app = Fastify({ logger: true })
  await app.register(chat)
  await app.listen({ port: Number(process.env.PORT ?? 3000) })
}
