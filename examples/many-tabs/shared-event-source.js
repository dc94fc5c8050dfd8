/** How many messages each tab keeps, for tabs that open later, and to know them when they come again. */
const KEPT_MESSAGES = 1_000
/** When to try again where an EventSource does not: after an answer such as a proxy's 502. */
const RETRY_MS = 2_000
/** Without HTTPS, every tab leads itself. */
const NO_LOCKS = { request: (_name, _options, lead) => lead() }

/** One EventSource for all tabs. Every message must have an id of its own, as those of channels do. */
export class SharedEventSource extends EventTarget {
  name = Math.random().toString(36).slice(2, 6)
  /** The event `status` tells that it may have changed. */
  status = { leader: '', isOpen: false }
  #url
  #types
  #channel
  #awake
  #kept = new Map() // id → message, oldest first
  #lastEventId = ''
  #isComplete = false // once this tab has what came before it was opened

  constructor(url, types) {
    super()
    this.#url = url
    this.#types = new Set([...types, 'sse-cursor', 'gap'])
    this.#channel = new BroadcastChannel(url)
    this.#channel.onmessage = ({ data }) => this.#hear(data)
    this.#channel.postMessage({ isQuestion: true })
    this.#wake()
    document.addEventListener('resume', () => this.#wake()) // and hears what was said while it was frozen
    document.addEventListener('freeze', () => this.#sleep())
    addEventListener('pagehide', () => this.#sleep())
    addEventListener('pageshow', ({ persisted }) => persisted && location.reload())
  }

  #wake() {
    this.#awake = new AbortController()
    const { signal } = this.#awake
    const asleep = new Promise((resolve) => signal.addEventListener('abort', resolve))
    const lead = () => {
      this.#tell({ status: { leader: this.name, isOpen: false }, kept: [...this.#kept.values()] })
      this.#connect(signal)
      return asleep
    }
    const { locks = NO_LOCKS } = navigator
    locks.request(this.#url, { signal }, lead).catch(() => {}) // it fell asleep before it led
  }

  #sleep() {
    this.#awake.abort()
    this.status = { leader: '', isOpen: false }
  }

  #connect(signal) {
    if (signal.aborted) return
    const source = new EventSource(`${this.#url}?lastEventId=${encodeURIComponent(this.#lastEventId)}`)
    // Firefox kills the listener that runs when its tab is closed, and runs those of later messages: so two of them count.
    let arrived = 0
    let told = 0
    const onMessage = ({ type, data, lastEventId }) => {
      if (told + 1 !== arrived) return again()
      this.#tell({ message: { type, data, lastEventId } })
      told++
    }
    for (const type of this.#types) {
      source.addEventListener(type, () => arrived++)
      source.addEventListener(type, onMessage)
    }
    const again = () => {
      source.close()
      this.#connect(signal)
    }
    source.onopen = () => this.#tell({ status: { leader: this.name, isOpen: true } })
    source.onerror = () => {
      this.#tell({ status: { leader: this.name, isOpen: false } })
      if (source.readyState === EventSource.CLOSED) setTimeout(again, RETRY_MS)
    }
    signal.addEventListener('abort', () => source.close())
  }

  /** What the leader has to say goes to the others first: what they were not told, the next leader asks for again. */
  #tell(word) {
    this.#channel.postMessage(word)
    this.#note(word)
  }

  #hear(word) {
    const leads = this.status.leader === this.name
    if (leads && word.isQuestion) this.#tell({ status: this.status, kept: [...this.#kept.values()] })
    else if (!leads) this.#note(word)
  }

  #note({ status, kept, message }) {
    if (status) this.status = status
    if (status) this.dispatchEvent(new Event('status'))
    if (kept && !this.#isComplete) for (const earlier of kept) this.#take(earlier)
    if (kept) this.#isComplete = true
    if (message && this.#isComplete) this.#take(message)
  }

  /** A new leader begins where it was itself, so others may have what comes. After a gap, everything is new. */
  #take({ type, data, lastEventId }) {
    if (type === 'gap') this.#kept.clear()
    else if (this.#kept.has(lastEventId)) return
    this.#kept.set(lastEventId, { type, data, lastEventId })
    if (this.#kept.size > KEPT_MESSAGES) this.#kept.delete(this.#kept.keys().next().value)
    this.#lastEventId = lastEventId
    this.dispatchEvent(new MessageEvent(type, { data, lastEventId }))
  }
}
