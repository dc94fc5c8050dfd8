import t from 'tap'
import { Child } from '../helpers/child.ts'

const SESSION_SECONDS = 2

function logIn(url: string, password: string): Promise<Response> {
  return fetch(`${url}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user: 'ada', password })
  })
}

/** What a client sends back of the response's first cookie. */
function cookieOf(response: Response): string {
  return response.headers.getSetCookie()[0]?.split(';')[0] ?? ''
}

/** Somebody who was logged in, unless the machine took as long for it as a session lasts. */
async function streamOfSession(url: string): Promise<{ headers: { cookie: string }; response: Response }> {
  for (;;) {
    const startedAt = performance.now()
    const headers = { cookie: cookieOf(await logIn(url, 'lovelace')) }
    const response = await fetch(`${url}/events`, { headers })
    if (response.status !== 401 || performance.now() - startedAt < SESSION_SECONDS * 1_000) {
      return { headers, response }
    }
  }
}

t.test('examples › protected', async (t) => {
  const { child, url } = await Child.listening(t, 'examples/protected.ts', {
    SESSION_SECONDS: String(SESSION_SECONDS)
  })

  await t.test('answers 401 without a session, and to a wrong password', async (t) => {
    t.equal((await fetch(`${url}/events`)).status, 401)
    const refused = await logIn(url, 'wrong')
    t.equal(refused.status, 401)
    t.equal((await fetch(`${url}/events`, { headers: { cookie: cookieOf(refused) } })).status, 401)
  })

  await t.test('streams to those who are logged in, until their session expires', async (t) => {
    const { headers, response } = await streamOfSession(url)
    t.equal(response.status, 200)
    t.match(
      response.headers.getSetCookie(),
      [/^sessionId=.+HttpOnly.+SameSite=Lax/],
      'hooks still set cookies'
    )
    const body = await response.text()
    t.match(body, /^event: greeting\ndata: \{"user":"ada","visit":1\}\n\n/)
    t.match(body, /\n\nretry: \d+\n$/, 'told when to come back')
    await child.until(/"reason":"expired"/)
    t.equal((await fetch(`${url}/events`, { headers })).status, 401, 'and then refused')
  })

  t.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})
