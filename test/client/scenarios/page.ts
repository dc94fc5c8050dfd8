import assert from 'node:assert/strict'
import { assertWhole, type Scenario } from './scenario.ts'

const NO_PAGE = 'is no page'
const ANEW = 'loads pages anew when it is driven'

export const page: readonly Scenario[] = [
  {
    name: 'offline: no request before it is online',
    not: { Node: NO_PAGE, Firefox: 'its driver cannot', WebKit: 'its driver cannot' },
    async run(stage) {
      const tab = await stage.newTab()
      const stream = await stage.open('{}', { tab })
      await stage.untilListening(1)
      await stage.publish(3)
      await stream.count(3)
      await tab.setOffline?.(true)
      stage.line.cut()
      await stream.until("states.at(-1) === 'waiting'")
      await stage.publish(3)
      assert.equal(stage.asked.length, 1)
      await tab.setOffline?.(false)
      const recording = await stream.count(6)
      assertWhole(recording, stage)
    }
  },
  {
    name: 'the back/forward cache: no connection meanwhile, and everything afterwards',
    not: { Node: NO_PAGE, Firefox: ANEW },
    async run(stage) {
      const tab = await stage.newTab()
      const stream = await stage.open('{}', { tab })
      await stage.untilListening(1)
      await stage.publish(3)
      await stream.count(3)
      await tab.leave?.()
      assert.equal(await stage.streams[0]?.closed, 'client')
      await stage.publish(3)
      await tab.comeBack?.()
      assertWhole(await stream.count(6), stage)
    }
  },
  {
    name: 'frozen: no connection meanwhile, and everything afterwards',
    not: { Node: NO_PAGE, Firefox: 'freezes no page', WebKit: 'freezes no page that its driver could' },
    async run(stage) {
      const tab = await stage.newTab()
      const stream = await stage.open('{}', { tab })
      await stage.untilListening(1)
      await stage.publish(3)
      await stream.count(3)
      await tab.setFrozen?.(true)
      assert.equal(await stage.streams[0]?.closed, 'client')
      await stage.publish(3)
      await tab.setFrozen?.(false)
      assertWhole(await stream.count(6), stage)
    }
  }
]
