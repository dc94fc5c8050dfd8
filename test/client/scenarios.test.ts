import t from 'tap'
import { node } from './node-engine.ts'
import { scenarios } from './scenarios.ts'
import { Stage } from './stage.ts'

t.test('client › in Node', async (t) => {
  for (const { name, not, run } of scenarios) {
    if (not?.Node !== undefined) continue
    await t.test(name, async () => {
      const stage = await Stage.open(node)
      try {
        await run(stage)
      } finally {
        await stage.close()
      }
    })
  }
})
