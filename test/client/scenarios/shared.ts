import assert from 'node:assert/strict'
import type { Tab } from '../engine.ts'
import type { Recording } from '../recorder.ts'
import type { Stage, Stream } from '../stage.ts'
import type { Scenario } from './scenario.ts'

const NO_TAB = 'a process without tabs'

/** Tabs that share a stream, in the order in which they lead. */
class Tabs {
  readonly all: { tab: Tab; stream: Stream }[] = []
  readonly #stage: Stage

  constructor(stage: Stage) {
    this.#stage = stage
  }

  static async open(stage: Stage, count: number, options?: string): Promise<Tabs> {
    const tabs = new Tabs(stage)
    for (let i = 0; i < count; i++) await tabs.add(options)
    return tabs
  }

  async add(options?: string): Promise<{ tab: Tab; stream: Stream }> {
    const tab = await this.#stage.newTab()
    const stream = await this.#stage.open(options, { tab, opener: 'openSharedEventStream' })
    await stream.until("states.at(-1) === 'open'")
    if (this.all.length === 0) await this.#stage.untilListening(1)
    const added = { tab, stream }
    this.all.push(added)
    return added
  }

  get leader(): Tab {
    const [first] = this.all
    if (first === undefined) throw new Error('there is no tab')
    return first.tab
  }

  /** That all have the same events, each once, and that there is one connection. */
  async assertAll(expected: readonly unknown[]): Promise<void> {
    const last = JSON.stringify(expected.at(-1))
    for (const { stream } of this.all) {
      const { data } = await stream.until(
        `data.length >= ${expected.length} && JSON.stringify(data.at(-1)) === '${last}'`
      )
      assert.deepEqual(data, expected)
    }
  }

  async ended(): Promise<Recording[]> {
    return await Promise.all(this.all.map(({ stream }) => stream.ended()))
  }
}

/** Publishes while something happens to the tab that leads, which leads no more then. */
async function publishDuring(
  stage: Stage,
  tabs: Tabs,
  happen: (leader: Tab) => Promise<unknown>
): Promise<void> {
  const { leader } = tabs
  const asked = stage.asked.length
  await stage.publish(20)
  const happened = happen(leader)
  await stage.publish(20)
  await happened
  tabs.all.shift()
  await stage.untilAsked(asked + 1)
  await stage.publish(20)
}

export const shared: readonly Scenario[] = [
  {
    name: 'six tabs have one connection, and each has everything',
    async run(stage) {
      const tabs = await Tabs.open(stage, 6)
      await stage.publish(50)
      await tabs.assertAll(stage.published)
      assert.equal(stage.asked.length, 1)
    }
  },
  {
    name: 'a tab that is opened later has what the others have kept',
    async run(stage) {
      const tabs = await Tabs.open(stage, 2)
      await stage.publish(10)
      await tabs.add()
      await stage.publish(1)
      await tabs.assertAll(stage.published)
    }
  },
  {
    name: 'a tab that is opened too late for some of it is told a gap',
    async run(stage) {
      const tabs = await Tabs.open(stage, 1, '{ keep: 5 }')
      await stage.publish(10)
      await tabs.assertAll(stage.published)
      tabs.all.splice(0)
      await tabs.add('{ keep: 5 }')
      await tabs.assertAll([{ reason: 'expired' }, ...stage.published.slice(-5)])
    }
  },
  {
    name: 'the leader is closed: another one goes on',
    async run(stage) {
      const tabs = await Tabs.open(stage, 4)
      for (let i = 0; i < 3; i++) await publishDuring(stage, tabs, (leader) => leader.close())
      await tabs.assertAll(stage.published)
    }
  },
  {
    name: 'the leader is killed: another one goes on',
    not: {
      Node: NO_TAB,
      Firefox: 'its driver cannot kill a tab',
      WebKit: 'its driver cannot kill a tab'
    },
    async run(stage) {
      const tabs = await Tabs.open(stage, 3)
      await publishDuring(stage, tabs, async (leader) => await leader.crash?.())
      await tabs.assertAll(stage.published)
    }
  },
  {
    name: 'the leader goes while other tabs are opened',
    async run(stage) {
      const tabs = await Tabs.open(stage, 2)
      await stage.publish(20)
      await tabs.assertAll(stage.published)
      const { leader } = tabs
      const gone = leader.crash?.() ?? leader.close()
      await Promise.all([tabs.add(), tabs.add()])
      await gone
      tabs.all.shift()
      await stage.untilAsked(2)
      await stage.publish(20)
      await tabs.assertAll(stage.published)
      assert.equal(stage.asked.length, 2)
    }
  },
  {
    name: 'what the leader told nobody comes from the server again',
    not: { Node: 'tabs that share what is broken here' },
    async run(stage) {
      const tabs = await Tabs.open(stage, 3)
      await stage.publish(5)
      await tabs.assertAll(stage.published)
      await tabs.leader.evaluate('BroadcastChannel.prototype.postMessage = () => {}')
      await stage.publish(5)
      await tabs.all[0]?.stream.count(10)
      await publishDuring(stage, tabs, (leader) => leader.close())
      await tabs.assertAll(stage.published)
    }
  },
  {
    name: 'what a tab did not hear it asks for',
    not: { Node: 'tabs that share what is broken here' },
    async run(stage) {
      const tabs = await Tabs.open(stage, 3)
      await tabs.leader.evaluate(`{
        const { postMessage } = BroadcastChannel.prototype
        let count = 0
        BroadcastChannel.prototype.postMessage = function (word) {
          if (count++ % 3 !== 0) postMessage.call(this, word)
        }
      }`)
      await stage.publish(31)
      await stage.publish(1)
      await stage.publish(1)
      await tabs.assertAll(stage.published)
    }
  },
  {
    name: 'the connection of the leader is cut, again and again',
    async run(stage) {
      const tabs = await Tabs.open(stage, 3)
      for (let i = 1; i <= 3; i++) {
        await stage.publish(10)
        stage.line.cut()
        await stage.publish(10)
        await stage.untilAsked(i + 1)
      }
      await tabs.assertAll(stage.published)
    }
  },
  {
    name: 'the server is started again: all tabs are told one gap, also those that are opened then',
    async run(stage) {
      const tabs = await Tabs.open(stage, 2)
      await stage.publish(3)
      await tabs.assertAll(stage.published)
      await stage.stop()
      await stage.restart()
      await stage.untilListening(1)
      await stage.publish(3)
      await tabs.assertAll([
        ...stage.published.slice(0, 3),
        { reason: 'unknown' },
        ...stage.published.slice(3)
      ])
      tabs.all.splice(0)
      await tabs.add()
      await tabs.assertAll([{ reason: 'unknown' }, ...stage.published.slice(3)])
    }
  },
  {
    name: 'the farewell ends all tabs',
    async run(stage) {
      const tabs = await Tabs.open(stage, 3)
      await stage.publish(3)
      await tabs.assertAll(stage.published)
      stage.app.sse.closeWhere(() => true)
      for (const { reason, farewell } of await tabs.ended()) {
        assert.deepEqual([reason, farewell], ['server', 'Closing the connection'])
      }
      assert.equal(stage.asked.length, 1)
    }
  },
  {
    name: 'a refusal ends all tabs',
    async run(stage) {
      const tabs = await Tabs.open(stage, 3)
      stage.answers.push((_request, reply) => reply.code(403).send({}))
      stage.line.cut()
      for (const { reason, states } of await tabs.ended()) {
        assert.equal(reason, 'refused')
        assert.equal(states.at(-1), 'closed')
      }
      assert.equal(stage.asked.length, 2)
    }
  },
  {
    name: 'a tab closes its stream: the others go on',
    async run(stage) {
      const tabs = await Tabs.open(stage, 3)
      await stage.publish(1)
      await tabs.assertAll(stage.published)
      await tabs.all.pop()?.stream.close()
      await tabs.all[0]?.stream.close()
      tabs.all.shift()
      await stage.untilAsked(2)
      await stage.publish(3)
      await tabs.assertAll(stage.published)
    }
  },
  {
    name: 'the leader goes into the back/forward cache, and comes back with everything',
    not: { Node: NO_TAB, Firefox: 'loads pages anew when it is driven' },
    async run(stage) {
      const tabs = await Tabs.open(stage, 2)
      const [first] = tabs.all
      await publishDuring(stage, tabs, async (leader) => await leader.leave?.())
      await tabs.assertAll(stage.published)
      await first?.tab.comeBack?.()
      if (first !== undefined) tabs.all.push(first)
      await stage.publish(3)
      await tabs.assertAll(stage.published)
    }
  },
  {
    name: 'a leader that is frozen leads no more, and has what it missed when it is thawed',
    not: { Node: NO_TAB, Firefox: 'freezes no page', WebKit: 'freezes no page that its driver could' },
    async run(stage) {
      const tabs = await Tabs.open(stage, 2)
      const [first] = tabs.all
      await publishDuring(stage, tabs, async (leader) => await leader.setFrozen?.(true))
      await tabs.assertAll(stage.published)
      await first?.tab.setFrozen?.(false)
      if (first !== undefined) tabs.all.push(first)
      await stage.publish(3)
      await tabs.assertAll(stage.published)
    }
  }
]
