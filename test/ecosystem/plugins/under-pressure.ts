import assert from 'node:assert/strict'
import underPressure from '@fastify/under-pressure'
import { until } from '../../helpers/server.ts'
import { type Row, versioned } from '../row.ts'

export const underPressureRow: Row = {
  name: versioned('@fastify/under-pressure'),
  shows: 'is refused by `503` as JSON under pressure, while those that are open go on',
  async run(stage) {
    let isHealthy = true
    const healthCheck = async (): Promise<boolean> => isHealthy
    const app = await stage.build((app) =>
      app.register(underPressure, { healthCheck, healthCheckInterval: 5 })
    )
    const streams = stage.addStream(app)
    const url = `${await stage.listen(app)}/events`
    const client = await stage.open(url)
    isHealthy = false
    await until(() => app.isUnderPressure())
    const refused = await fetch(url)
    assert.equal(refused.status, 503)
    assert.equal(refused.headers.get('retry-after'), '10')
    assert.equal(((await refused.json()) as { code: string }).code, 'FST_UNDER_PRESSURE')
    await streams[0]?.send('later')
    await client.until('later')
    isHealthy = true
    await until(() => !app.isUnderPressure())
    await stage.open(url)
  }
}
