import { setImmediate as nextTurn } from 'node:timers/promises'
import { fastifyRequestContext, requestContext } from '@fastify/request-context'
import { type Row, versioned } from '../row.ts'

declare module '@fastify/request-context' {
  interface RequestContextData {
    user: string
  }
}

export const requestContextRow: Row = {
  name: versioned('@fastify/request-context'),
  shows: 'leaves its handler the context of its request, also later and beside others',
  async run(stage) {
    const app = await stage.build((app) => app.register(fastifyRequestContext))
    app.addHook('onRequest', async (request) => {
      request.requestContext.set('user', String(request.headers['x-user']))
    })
    stage.addStream(app, {
      after: async (_request, stream) => {
        await stream.send(`at-once-${requestContext.get('user')}`)
        await nextTurn()
        await stream.send(`later-${requestContext.get('user')}`)
      }
    })
    const url = `${await stage.listen(app)}/events`
    const users = ['ada', 'grace']
    await Promise.all(
      users.map(async (user) => {
        const client = await stage.open(url, { 'x-user': user })
        await client.until(`at-once-${user}`)
        await client.until(`later-${user}`)
      })
    )
  }
}
