import type { Page } from './site.ts'

/** A message as a page sees it. */
export interface Received {
  readonly type: string
  readonly data: string
  readonly lastEventId: string
}

/** An EventSource of a page, which records what it tells (`page.html`). */
export class Recorder {
  readonly #page: Page
  readonly #expression: string

  private constructor(page: Page, place: unknown) {
    this.#page = page
    this.#expression = `recorders[${place}]`
  }

  static async open(
    page: Page,
    url: string,
    { types = [], withCredentials = false }: { types?: readonly string[]; withCredentials?: boolean } = {}
  ): Promise<Recorder> {
    const args = [url, types, { withCredentials }].map((arg) => JSON.stringify(arg))
    return new Recorder(page, await page.evaluate(`record(${args.join()})`))
  }

  /** All messages, as soon as there are so many. */
  async messages(count: number): Promise<Received[]> {
    return (await this.#evaluate(`until('messages', ${count})`)) as Received[]
  }

  /** All messages, as soon as there is one with this data. */
  async upTo(data: string): Promise<Received[]> {
    return (await this.#evaluate(`upTo('${data}')`)) as Received[]
  }

  /** The data of all messages, as soon as there are so many. */
  async data(count: number): Promise<string[]> {
    return (await this.messages(count)).map(({ data }) => data)
  }

  /** What the EventSource's own events were, and `readyState` then, as soon as there were so many. */
  async states(count: number): Promise<string[]> {
    return (await this.#evaluate(`until('states', ${count})`)) as string[]
  }

  async readyState(): Promise<unknown> {
    return await this.#evaluate('readyState')
  }

  async closeOn(type: string): Promise<void> {
    await this.#evaluate(`closeOn('${type}')`)
  }

  async close(): Promise<void> {
    await this.#evaluate('close()')
  }

  async #evaluate(expression: string): Promise<unknown> {
    return await this.#page.evaluate(`${this.#expression}.${expression}`)
  }
}
