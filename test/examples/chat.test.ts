import type { Browser, Locator, Page } from 'playwright-core'
import t from 'tap'
import { Child } from '../helpers/child.ts'
import { complaintsOf, openPage, stopClock, widthsThatScroll } from '../helpers/page.ts'
import { launchChromium } from '../helpers/programs/chromium.ts'

const CHAT = 'examples/chat.ts'
/** How often a page tells that somebody goes on typing, and for how long that counts (`chat/room.js`). */
const TELL_MS = 2_000
const TYPING_MS = 5_000
const ROOMS = ['lobby', 'garden'] as const
type Room = (typeof ROOMS)[number]

/** Somebody's page, whose clock stands still. */
async function enter(browser: Browser, url: string, name: string): Promise<Page> {
  const page = await openPage(browser)
  await stopClock(page)
  await page.goto(url)
  await page.locator('#name').fill(name)
  await page.locator('#name').blur()
  await untilState(page, 'live', 'Live')
  return page
}

async function untilState(page: Page, state: string, text: string): Promise<void> {
  await page.locator(`html[data-state="${state}"]`).waitFor({ state: 'attached' })
  await page.locator('#state', { hasText: text }).waitFor()
}

async function say(url: string, room: Room, text: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ name: 'Publisher', text })
  const { status } = await fetch(`${url}/rooms/${room}/messages`, { method: 'POST', headers, body })
  if (status !== 201) throw new Error(`the message was answered with ${status}`)
}

async function cut(url: string): Promise<void> {
  const { status } = await fetch(`${url}/cut`, { method: 'POST' })
  if (status !== 204) throw new Error(`the cut was answered with ${status}`)
}

/** All rows of a room: what was said, and gaps as they are told. */
async function shown(page: Page, room: Room): Promise<string[]> {
  return await page.locator(`#${room} :is(.said p, .gap)`).allTextContents()
}

/** Waits until something is in the room. It must not be there twice. */
async function untilShown(page: Page, room: Room, text: string): Promise<void> {
  await page.locator(`#${room} .messages`).getByText(text, { exact: true }).waitFor()
}

function typingIn(page: Page, room: Room, text: string): Locator {
  return page.locator(`#${room} .typing`, { hasText: text })
}

/** Types on in the room until something is done. Resolves when the server knows of all of it. */
async function typeDuring(page: Page, room: Room, something: Promise<unknown>): Promise<void> {
  let isDone = false
  const done = something.finally(() => {
    isDone = true
  })
  while (!isDone) {
    const isTold = page.waitForResponse(/\/typing$/)
    await page.clock.runFor(TELL_MS)
    await page.locator(`#${room} .text`).press('x')
    await isTold
  }
  await done
}

t.test('examples › chat', async (chat) => {
  const { child: first, url } = await Child.listening(chat, CHAT)
  const browser = await launchChromium(chat)
  const ada = await enter(browser, url, 'Ada')
  const bob = await enter(browser, url, 'Bob')
  const complaints = complaintsOf(ada)
  /** What was published, in order. */
  const said: Record<Room, string[]> = { lobby: [], garden: [] }
  let server = first

  await chat.test('shows to everybody what is said, in the room where it is said', async (t) => {
    for (const [page, room, text] of [
      [ada, 'lobby', 'Good morning'],
      [bob, 'garden', 'The <b>beans</b> are fine & well'],
      [bob, 'lobby', 'Good morning, Ada']
    ] as const) {
      await page.locator(`#${room} .text`).fill(text)
      await page.locator(`#${room} .text`).press('Enter')
      for (const reader of [ada, bob]) await untilShown(reader, room, text)
      said[room].push(text)
    }
    for (const room of ROOMS) {
      t.same(await shown(ada, room), said[room])
      t.same(await shown(bob, room), said[room])
    }
    t.same(await ada.locator('#lobby .said b').allTextContents(), ['Ada', 'Bob'])
    t.same(await ada.locator('.own p').allTextContents(), ['Good morning'])
    t.equal(first.output.match(/event stream opened/g)?.length, 2, 'on one stream for each page')
  })

  await chat.test('shows the history again when it is loaded again', async (t) => {
    await ada.reload()
    for (const room of ROOMS) await untilShown(ada, room, said[room].at(-1) ?? '')
    for (const room of ROOMS) t.same(await shown(ada, room), said[room])
    t.equal(await ada.locator('#name').inputValue(), 'Ada', 'and knows its name')
  })

  await chat.test('says who is typing, until it is said or taken back', async (t) => {
    const text = ada.locator('#lobby .text')
    const indicator = typingIn(bob, 'lobby', 'Ada is typing…')
    await text.pressSequentially('Hello')
    await indicator.waitFor()
    t.equal(await bob.locator('#garden .typing').textContent(), '', 'not in the other room')
    t.equal(await ada.locator('#lobby .typing').textContent(), '', 'not to herself')
    await text.press('Enter')
    said.lobby.push('Hello')
    await untilShown(bob, 'lobby', 'Hello')
    await indicator.waitFor({ state: 'detached' })
    await text.pressSequentially('H')
    await indicator.waitFor()
    await text.press('Backspace')
    await indicator.waitFor({ state: 'detached' })
  })

  await chat.test('says who is typing to those who come, and forgets who left', async (t) => {
    const carol = await enter(browser, url, 'Carol')
    await carol.locator('#garden .text').pressSequentially('I am just')
    await typingIn(bob, 'garden', 'Carol is typing…').waitFor()
    const dan = await enter(browser, url, 'Dan')
    await typeDuring(carol, 'garden', typingIn(dan, 'garden', 'Carol is typing…').waitFor())
    await carol.close()
    await say(url, 'garden', 'Carol has left')
    said.garden.push('Carol has left')
    for (const page of [bob, dan]) {
      await untilShown(page, 'garden', 'Carol has left')
      const typing = page.locator('#garden .typing')
      await page.clock.runFor(TYPING_MS - 1)
      t.equal(await typing.textContent(), 'Carol is typing…')
      await page.clock.runFor(1)
      t.equal(await typing.textContent(), '')
    }
    await dan.close()
    await server.until(/(?:event stream closed[\s\S]*){3}/)
  })

  await chat.test('loses and doubles nothing when its connection is cut', async (t) => {
    for (let round = 1; round <= 2; round++) {
      const isBack = [ada, bob].map((page) => page.waitForResponse(/\/events/))
      const cuts: Promise<void>[] = []
      for (let i = 1; i <= 60; i++) {
        const room = ROOMS[i % 3 === 0 ? 1 : 0]
        const text = `message ${i} of round ${round}`
        if (i === 30) cuts.push(cut(url))
        await say(url, room, text)
        said[room].push(text)
      }
      await Promise.all([...isBack, ...cuts])
      for (const room of ROOMS) {
        for (const page of [ada, bob]) await untilShown(page, room, said[room].at(-1) ?? '')
      }
    }
    for (const room of ROOMS) {
      t.same(await shown(ada, room), said[room], `${room}, to Ada`)
      t.same(await shown(bob, room), said[room], `${room}, to Bob`)
    }
    t.equal(server.output.match(/"reason":"server"/g)?.length, 4, 'twice for both')
  })

  await chat.test('tells what may be missing when its server was restarted, and goes on', async (t) => {
    const tried: string[] = []
    let death: Promise<unknown> | undefined
    await t.rejects(async () => {
      for (let i = 1; ; i++) {
        if (i === 20) death = server.kill('SIGKILL')
        const text = `message ${i} before the end`
        tried.push(text)
        await say(url, 'lobby', text)
        if (i === 10) await untilShown(ada, 'lobby', text)
      }
    })
    await death
    await untilState(ada, 'reconnecting', 'Reconnecting')
    const before = await shown(ada, 'lobby')
    const arrived = before.length - said.lobby.length
    t.ok(arrived >= 10, 'in the middle')
    t.same(before, [...said.lobby, ...tried.slice(0, arrived)])

    await ada.locator('#garden .text').fill('Is anybody there?')
    await ada.locator('#garden .send').click()
    await ada.locator('#garden .problem', { hasText: 'The server did not answer' }).waitFor()
    t.equal(await ada.locator('#garden .text').inputValue(), 'Is anybody there?', 'nothing is lost')

    server = (await Child.listening(chat, CHAT, { PORT: new URL(url).port })).child
    for (const room of ROOMS) await ada.locator(`#${room} .gap`).waitFor()
    await ada.locator('#garden .send').click()
    await untilShown(ada, 'garden', 'Is anybody there?')
    const after: string[] = []
    for (let i = 1; i <= 20; i++) {
      after.push(`message ${i} after the restart`)
      await say(url, 'lobby', `message ${i} after the restart`)
    }
    await untilShown(ada, 'lobby', after.at(-1) ?? '')
    const gap = 'The server was restarted: messages may be missing here'
    t.same(await shown(ada, 'lobby'), [...before, gap, ...after])
    t.same(await shown(ada, 'garden'), [...said.garden, gap, 'Is anybody there?'])
    said.lobby = after
    said.garden = ['Is anybody there?']
    await ada.reload()
    for (const room of ROOMS) await untilShown(ada, room, said[room].at(-1) ?? '')
    for (const room of ROOMS) t.same(await shown(ada, room), said[room], 'a new page is told no gap')
  })

  await chat.test('never scrolls sideways, from a phone to a wide screen', async (t) => {
    t.same(await widthsThatScroll(ada), [])
  })

  chat.same(complaints, [], 'the page complained about nothing')
  chat.notMatch(first.output + server.output, /"level":(50|60)/, 'nothing is logged as an error')
})
