import eventStream from '../../lib/index.ts'
import type { Contestant } from './contestant.ts'

export const ours: Contestant = {
  name: 'fastify-eventstream',
  isPlugin: true,
  routeOptions: {},
  documentedOptions: {
    eventStream: { events: { message: { type: 'string', description: 'A greeting' } } }
  },
  register: async (app) => {
    await app.register(eventStream)
  },
  start: async (_request, reply) => reply.sseStart()
}
