import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Page } from 'playwright-core'
import t from 'tap'
import { Child } from '../helpers/child.ts'
import { complaintsOf, openPage, widthsThatScroll } from '../helpers/page.ts'
import { launchChromium } from '../helpers/programs/chromium.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'
import { RespClient } from '../helpers/resp-client.ts'
import { deferred } from '../helpers/server.ts'

const MANY_NODES = 'examples/many-nodes.ts'
const SIDES = ['A', 'B'] as const
type Side = (typeof SIDES)[number]

/** A message as the page shows it: its id, through which node it was published, and its text. */
type Shown = readonly [id: string, node: string, text: string]

/**
 * The first of three ports that are free and stay so: not of those which the system gives to outgoing connections, one of
 * which could take a node's port while it is down.
 */
async function freePorts(): Promise<string> {
  for (;;) {
    const first = 10_000 + Math.floor(Math.random() * 20_000)
    const areFree = await Promise.all([first, first + 1, first + 2].map(isFree))
    if (areFree.every(Boolean)) return String(first)
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port)
  try {
    await once(server, 'listening')
    server.close()
    await once(server, 'close')
    return true
  } catch {
    return false
  }
}

async function shown(page: Page, side: Side): Promise<Shown[]> {
  return await page.evaluate(`
    [...document.querySelectorAll('#${side} .message')].map((row) => [
      row.dataset.id,
      row.querySelector('b').textContent,
      row.querySelector('p').textContent
    ])
  `)
}

async function publish(page: Page, side: Side, text: string): Promise<void> {
  await page.locator(`#${side} .text`).fill(text)
  await page.locator(`#${side} .text`).press('Enter')
}

async function textOf(page: Page, side: Side, selector: string): Promise<string> {
  return (await page.locator(`#${side} ${selector}`).textContent()) ?? ''
}

async function untilState(page: Page, side: Side, state: string): Promise<void> {
  await page.locator(`#${side}[data-state="${state}"]`).waitFor()
}

/** Waits until both sides have this many messages, and nothing is on its way. */
async function untilEqual(page: Page, count: number): Promise<void> {
  for (const side of SIDES) {
    await page.locator(`#${side} .messages`).getByText(String(count), { exact: true }).waitFor()
    await page.locator(`#${side} .waiting:empty`).waitFor({ state: 'attached' })
  }
  await page.locator('html[data-state="equal"]').waitFor({ state: 'attached' })
}

/**
 * Lets the page publish many messages through a node, and kills that node in their midst: of what the node answers from then
 * on, the page hears nothing before it is dead. So one message is under way then, and those after it are not sent.
 *
 * @returns what the page says is not confirmed when its connection breaks.
 */
async function killInTheMiddle(page: Page, side: Side): Promise<string> {
  return await page.evaluate(`new Promise((resolve) => {
    const element = document.getElementById('${side}')
    const waiting = element.querySelector('.waiting')
    const { fetch } = globalThis
    let killed
    globalThis.fetch = (url, options) => {
      const response = fetch(url, options)
      if (url.endsWith('/kill')) killed = response
      return Promise.resolve(killed).then(() => response)
    }
    const observer = new MutationObserver(() => {
      if (element.dataset.state === 'reconnecting') {
        observer.disconnect()
        globalThis.fetch = fetch
        resolve(waiting.textContent)
      } else if (killed === undefined && Number.parseInt(waiting.textContent) <= 90) {
        element.querySelector('.kill').click()
      }
    })
    observer.observe(element, { attributeFilter: ['data-state'], childList: true, subtree: true })
    element.querySelector('.many').click()
  })`)
}

/** Keeps the page from coming back to a node. Resolves with what lets it. */
async function holdBack(page: Page, port: number): Promise<() => Promise<void>> {
  const isStream = (url: URL): boolean => Number(url.port) === port && url.searchParams.has('lastEventId')
  const release = deferred()
  const held: Promise<void>[] = []
  await page.route(isStream, (route) => {
    held.push(release.promise.then(() => route.continue()))
  })
  return async () => {
    release.resolve()
    await Promise.all(held)
    await page.unroute(isStream)
  }
}

/** Publishes through the first node, without a page. */
async function post(url: string, body: object): Promise<Response> {
  const [node] = (await (await fetch(`${url}/nodes`)).json()) as [{ port: number }]
  const headers = { 'content-type': 'application/json' }
  const { hostname } = new URL(url)
  return await fetch(`http://${hostname}:${node.port}/messages`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body)
  })
}

/** The processes that the example has told of, itself included. */
function processes({ output }: Child): number[] {
  return [...new Set([...output.matchAll(/"pid":(\d+)/g)].map(([, pid]) => Number(pid)))]
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

t.test('examples › many nodes', async (manyNodes) => {
  const port = await freePorts()
  const { child, url } = await Child.listening(manyNodes, MANY_NODES, { PORT: port, RESTART_MS: '1' })
  manyNodes.teardown(() => child.kill('SIGTERM'))
  const browser = await launchChromium(manyNodes)
  const page = await openPage(browser)
  const complaints = complaintsOf(page)
  /** What was published so far. */
  const published: Shown[] = []

  await manyNodes.test('shows on both sides what is published through either node', async (t) => {
    await page.goto(url)
    for (const side of SIDES) await untilState(page, side, 'live')
    const texts = [
      ['A', 'Good morning'],
      ['B', 'The <b>beans</b> are fine & well'],
      ['B', 'Good morning, A'],
      ['A', 'Wie schön 🌱']
    ] as const
    for (const [index, [side, text]] of texts.entries()) {
      await publish(page, side, text)
      await untilEqual(page, index + 1)
    }
    published.push(...(await shown(page, 'A')))
    t.same(
      published.map(([, ...rest]) => rest),
      texts
    )
    t.same(await shown(page, 'B'), published, 'with the same ids')
  })

  await manyNodes.test('a node that was killed has all that was published meanwhile', async (t) => {
    const letComeBack = await holdBack(page, Number(port) + 1)
    await page.locator('#A .kill').click()
    await untilState(page, 'A', 'reconnecting')
    await publish(page, 'B', 'A is gone')
    await page.locator('#B .alone').getByText('A is gone').waitFor()
    t.equal(await textOf(page, 'A', '.missing'), '1')
    await page.locator('#state', { hasText: 'A lacks 1 of 5 messages' }).waitFor()
    await page.locator('#B .many').click()
    await letComeBack()

    await untilEqual(page, 105)
    t.match(await textOf(page, 'A', '.mark'), /^Process \d+ is gone: \d+ goes on$/)
    const onB = await shown(page, 'B')
    t.same(onB.slice(0, 5), [...published, [onB[4]?.[0], 'B', 'A is gone']])
    t.same(
      onB.slice(5).map(([, node, text]) => [node, text]),
      Array.from({ length: 100 }, (_, i) => ['B', `${i + 1} of 100`])
    )
    t.same(await shown(page, 'A'), onB, 'once and in order')
  })

  await manyNodes.test(
    'what was under way through a node that was killed is published once, while the other publishes',
    async (t) => {
      for (const [index, side] of SIDES.entries()) {
        const before = 105 + index * 200
        await page.locator(`#${side === 'A' ? 'B' : 'A'} .many`).click()
        t.match(await killInTheMiddle(page, side), /^(8\d|90) not confirmed yet$/, 'in the middle')
        await untilEqual(page, before + 200)
        const all = await shown(page, 'A')
        t.same(await shown(page, 'B'), all)
        for (const through of SIDES) {
          const texts = all.slice(before).flatMap(([, node, text]) => (node === through ? [text] : []))
          t.same(
            texts,
            Array.from({ length: 100 }, (_, i) => `${i + 1} of 100`),
            `through ${through}`
          )
        }
      }
    }
  )

  await manyNodes.test('no message came twice, in another place or not at all', async (t) => {
    const all = await shown(page, 'A')
    t.equal(new Set(all.map(([id]) => id)).size, 505)
    for (const side of SIDES) {
      t.equal(await textOf(page, side, '.missing'), '0')
      t.equal(await textOf(page, side, '.wrong'), '0')
      t.equal(await textOf(page, side, '.gaps'), '0', 'no gap was told')
      t.equal(await page.locator(`#${side} .bad`).count(), 0)
    }
    await page.reload()
    await untilEqual(page, 505)
    for (const side of SIDES) t.same(await shown(page, side), all, 'also on a page that is loaded again')
  })

  await manyNodes.test('shows what Redis has lost', async (t) => {
    const [, port] = await child.until(/"redis:\/\/127\.0\.0\.1:(\d+)"/)
    const redis = await RespClient.connect(Number(port))
    t.teardown(() => redis.close())
    await redis.command('FLUSHALL')
    for (const side of SIDES) {
      await page.locator(`#${side} .bad`).waitFor()
      t.equal(await textOf(page, side, '.bad'), 'Redis has lost what this page had. It begins again:')
      t.equal(await textOf(page, side, '.gaps'), '1')
      t.equal(await textOf(page, side, '.messages'), '0')
    }
    await page.locator('#state', { hasText: 'A lacks 505 and B lacks 505 of 505 messages' }).waitFor()
    await publish(page, 'A', 'From now on')
    for (const side of SIDES) await page.locator(`#${side} .log`).getByText('From now on').waitFor()
    await page.reload()
    await untilEqual(page, 1)
    for (const side of SIDES) t.equal(await textOf(page, side, '.gaps'), '0', 'a new page is told no gap')
  })

  await manyNodes.test('never scrolls sideways, from a phone to a wide screen', async (t) => {
    t.same(await widthsThatScroll(page), [])
  })

  await manyNodes.test('takes no text that is none', async (t) => {
    for (const body of [{ text: ' \n', key: '1' }, { text: 'Hello' }, { text: 'Hello', key: '' }]) {
      t.equal((await post(url, body)).status, 400, JSON.stringify(body))
    }
  })

  await manyNodes.test('ends with all its processes', async (t) => {
    const pids = processes(child)
    t.equal(pids.length, 1 + 1 + 5, 'the example, Redis, two nodes, and one for each that was killed')
    t.same(await child.kill('SIGTERM'), { code: 0, signal: null })
    t.same(pids.filter(isRunning), [])
  })

  manyNodes.same(complaints, [], 'the page complained about nothing')
  manyNodes.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})

t.test('examples › many nodes › uses a Redis that is there, and leaves it alone', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const { child, url } = await Child.listening(t, MANY_NODES, {
    PORT: await freePorts(),
    REDIS_URL: redis.url
  })
  const response = await post(url, { text: 'Hello', key: '1' })
  const { id } = (await response.json()) as { id: string }

  const pids = processes(child)
  t.equal(pids.length, 3, 'no Redis of its own')
  t.same(await child.kill('SIGINT'), { code: 0, signal: null })
  t.same(pids.filter(isRunning), [])
  const [[newest]] = (await redis.command('XREVRANGE', 'many-nodes:{messages}:log', '+', '-')) as [string[]]
  t.equal(newest, id)
})

t.test('examples › many nodes › says what is missing when there is no Redis', async (t) => {
  const child = new Child(t, MANY_NODES, { PATH: t.testdir({}) })
  t.same(await child.exited, { code: 1, signal: null })
  t.match(child.output, 'apt-get install redis-server')
  t.match(child.output, 'REDIS_URL=redis://localhost:6379')
})
