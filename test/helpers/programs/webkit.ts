import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { environmentIn, type Test } from '../browser.ts'
import { freePorts } from '../free-ports.ts'
import { removeFolder, startProgram, temporaryFolder } from '../guardian.ts'
import { executableOf } from '../programs.ts'
import { startScreen } from './xvfb.ts'

/** Where Debian and Ubuntu have the browser that its driver starts. */
const MINI_BROWSER = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/webkit2gtk-4.1/MiniBrowser`

/** Evaluates `arguments[0]`, and keeps what it promises for who asks. */
const BEGIN = `
  const evaluations = (globalThis.evaluations ??= [])
  const entry = {}
  Promise.resolve((0, eval)(arguments[0])).then(
    (value) => Object.assign(entry, { isDone: true, value }),
    (error) => Object.assign(entry, { isDone: true, error: String(error?.stack ?? error) }))
  return evaluations.push(entry) - 1`
const LOOK = `
  return globalThis.evaluations[arguments[0]]`

/** WebKit behind WebDriver (https://www.w3.org/TR/webdriver2), of which puppeteer knows nothing. */
export class WebKit {
  readonly #version: string
  readonly #session: string
  /** Commands are of the window that was chosen last: so there is one at a time. */
  #last: Promise<unknown> = Promise.resolve()
  /** The window that is always there. */
  #first: string | undefined

  private constructor(session: string, version: string) {
    this.#session = session
    this.#version = version
  }

  /** On a screen that nobody sees, with a new profile, gone when the test ends. */
  static async launch(t: Test): Promise<WebKit> {
    const home = temporaryFolder('webkit')
    const { screen, display } = await startScreen()
    const env = { ...environmentIn(home), DISPLAY: display }
    const [port] = await freePorts(1)
    const driver = startProgram(executableOf('webkit'), [`--port=${port}`], { env, stdio: 'ignore' })
    t.teardown(async () => {
      for (const child of [driver, screen]) {
        child.kill()
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      }
      removeFolder(home)
    })
    const url = `http://127.0.0.1:${port}/session`
    while (!(await fetch(url.replace('session', 'status')).catch(() => undefined))?.ok) await sleep(10)
    const browser = { binary: MINI_BROWSER, args: ['--automation'] }
    const capabilities = {
      alwaysMatch: { acceptInsecureCerts: true, 'webkitgtk:browserOptions': browser }
    }
    const created = (await command('POST', url, { capabilities })) as {
      sessionId: string
      capabilities: { browserVersion: string }
    }
    const webkit = new WebKit(`${url}/${created.sessionId}`, `WebKit/${created.capabilities.browserVersion}`)
    t.teardown(() => command('DELETE', `${url}/${created.sessionId}`))
    return webkit
  }

  async version(): Promise<string> {
    return this.#version
  }

  async newPage(): Promise<WebKitPage> {
    this.#first ??= (await this.#inTurn(() => this.#call('window', undefined, 'GET'))) as string
    const { handle } = (await this.#inWindow(this.#first, 'window/new', { type: 'tab' })) as {
      handle: string
    }
    return new WebKitPage((path, body, method) => this.#inWindow(handle, path, body, method))
  }

  #inWindow(handle: string, path: string, body?: object, method?: string): Promise<unknown> {
    return this.#inTurn(async () => {
      await this.#call('window', { handle })
      return await this.#call(path, body, method)
    })
  }

  #call(path: string, body: object = {}, method = 'POST'): Promise<unknown> {
    return command(method, `${this.#session}/${path}`, method === 'POST' ? body : undefined)
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#last.then(run)
    this.#last = result.catch(() => {})
    return result
  }
}

type Command = (path: string, body?: object, method?: string) => Promise<unknown>

/** A tab, with as much of puppeteer's `Page` as tests need. */
export class WebKitPage {
  readonly #command: Command
  #isClosed = false

  constructor(command: Command) {
    this.#command = command
  }

  async goto(url: string): Promise<void> {
    await this.#command('url', { url })
  }

  /** Nothing is needed: the window that was spoken to last is in front. */
  async bringToFront(): Promise<void> {
    await this.evaluate('0')
  }

  async goBack(): Promise<void> {
    await this.#command('back')
  }

  /** A script that waits for something must not hold up those of other tabs: it is begun, and then asked for. */
  async evaluate(expression: string): Promise<unknown> {
    const index = await this.#command('execute/sync', { script: BEGIN, args: [expression] })
    for (;;) {
      const { isDone, value, error } = (await this.#command('execute/sync', {
        script: LOOK,
        args: [index]
      })) as {
        isDone?: boolean
        value?: unknown
        error?: string
      }
      if (error) throw new Error(error)
      if (isDone) return value
      await sleep(5)
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#command('window', undefined, 'DELETE')
  }
}

async function command(method: string, url: string, body?: object): Promise<unknown> {
  const response = await fetch(url, { method, ...(body !== undefined && { body: JSON.stringify(body) }) })
  const { value } = (await response.json()) as { value: unknown }
  if (!response.ok) throw new Error(`${method} ${url}: ${JSON.stringify(value)}`)
  return value
}
