/** When to ask again. */
const RETRY_MS = 500

/** Publishes through one node, one message after the other. */
export class Publisher {
  #url
  #onConfirm
  #queue = []

  /** @param onConfirm is given the id of each message that was published. */
  constructor(url, onConfirm) {
    this.#url = url
    this.#onConfirm = onConfirm
  }

  /** How many are not confirmed yet. */
  get waiting() {
    return this.#queue.length
  }

  publish(text) {
    this.#queue.push({ text, key: crypto.randomUUID() })
    if (this.waiting === 1) void this.#work()
  }

  /** With the same key a message is published once, however often it is sent. So it is sent until that is confirmed. */
  async #work() {
    while (this.waiting > 0) {
      const id = await this.#post(this.#queue[0]).catch(() => undefined)
      if (id === undefined) {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      } else {
        this.#queue.shift()
        this.#onConfirm(id)
      }
    }
  }

  /** @returns the id of what was published. Rejects if that is not known. */
  async #post(message) {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(this.#url, { method: 'POST', headers, body: JSON.stringify(message) })
    if (!response.ok) throw new Error(`${response.status}`)
    return (await response.json()).id
  }
}
