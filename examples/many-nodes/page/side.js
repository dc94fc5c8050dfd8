import { Publisher } from './publisher.js'

/** When to try again where an EventSource does not: after an answer such as a proxy's 502. */
const RETRY_MS = 2_000
const STATES = { live: 'Live', reconnecting: 'Reconnecting' }
const GAPS = { expired: 'This page was away for longer than Redis keeps messages' }
const UNKNOWN_GAP = 'Redis has lost what this page had'

const number = new Intl.NumberFormat('en')

/** What the clients of one node receive. */
export class Side {
  name
  element
  #url
  #listener
  #publisher
  /** Id → row, in the order of arrival. */
  #rows = new Map()
  #lastEventId = ''
  #pid
  #wrong = 0
  #gaps = 0

  /** @param listener `sideOnMessage(id)`: it was shown or confirmed. `sideOnChange()`: what was shown is gone. */
  constructor(name, url, listener) {
    this.name = name
    this.element = document.getElementById('side').content.cloneNode(true).firstElementChild
    this.#url = `${url}/messages`
    this.#listener = listener
    this.#publisher = new Publisher(this.#url, (id) => this.#publisherOnConfirm(id))
    this.element.id = name
    this.element.setAttribute('aria-label', `Node ${name}`)
    this.#find('h2').textContent = `Node ${name}`
    this.#find('.scroller').tabIndex = 0 // so that one can scroll it by key
    this.#find('.scroller').setAttribute('aria-label', `What the clients of node ${name} receive`)
    this.#find('.text').setAttribute('aria-label', `Message through node ${name}`)
    this.#find('.text').placeholder = `Message through node ${name}`
    this.#find('form').addEventListener('submit', (event) => this.#formOnSubmit(event))
    this.#find('.many').addEventListener('click', () => this.#publishMany())
    this.#find('.kill').addEventListener('click', () => fetch(`/nodes/${name}/kill`, { method: 'POST' }))
  }

  get size() {
    return this.#rows.size
  }

  has(id) {
    return this.#rows.has(id)
  }

  /** Says whether a message is on all sides. */
  mark(id, isEverywhere) {
    this.#rows.get(id)?.classList.toggle('alone', !isEverywhere)
  }

  showMissing(count) {
    this.#showCount('.missing', count)
  }

  /** An EventSource that comes back sends its last id by itself; a new one is given that of the last message. */
  connect() {
    const source = new EventSource(`${this.#url}?lastEventId=${encodeURIComponent(this.#lastEventId)}`)
    source.addEventListener('message', (event) => this.#sourceOnMessage(event))
    source.addEventListener('node', (event) => this.#sourceOnNode(event))
    source.addEventListener('gap', (event) => this.#sourceOnGap(event))
    source.addEventListener('open', () => this.#setState('live'))
    source.addEventListener('error', () => {
      this.#setState('reconnecting')
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.connect(), RETRY_MS)
    })
  }

  #sourceOnMessage({ lastEventId, data }) {
    const isWrong = this.#rows.size > 0 && !isAfter(lastEventId, this.#lastEventId)
    if (isWrong) this.#showCount('.wrong', ++this.#wrong)
    this.#lastEventId = lastEventId
    const { node, text } = JSON.parse(data)
    const row = this.#append(isWrong ? 'message bad' : 'message', elementOf('b', node), elementOf('p', text))
    row.dataset.id = lastEventId
    this.#rows.set(lastEventId, row)
    this.#showCount('.messages', this.size)
    this.#listener.sideOnMessage(lastEventId)
  }

  /** Comes first on every connection. */
  #sourceOnNode({ data }) {
    const { pid } = JSON.parse(data)
    if (this.#pid === pid) this.#append('mark', 'Reconnected')
    else if (this.#pid !== undefined) this.#append('mark', `Process ${this.#pid} is gone: ${pid} goes on`)
    this.#pid = pid
  }

  /** After a gap comes all that is kept, also what is shown already. */
  #sourceOnGap({ lastEventId, data }) {
    const { reason } = JSON.parse(data)
    this.#lastEventId = lastEventId
    this.#rows.clear()
    this.#find('.log').replaceChildren()
    this.#append('mark bad', `${GAPS[reason] ?? UNKNOWN_GAP}. It begins again:`)
    this.#showCount('.gaps', ++this.#gaps)
    this.#showCount('.messages', 0)
    this.#listener.sideOnChange()
  }

  #formOnSubmit(event) {
    event.preventDefault()
    const text = this.#find('.text').value.trim()
    this.#find('.text').value = ''
    this.#find('.scroller').scrollTop = 0 // the end
    if (text !== '') this.#publish(text)
  }

  #publishMany() {
    for (let i = 1; i <= 100; i++) this.#publish(`${i} of 100`)
  }

  #publish(text) {
    this.#publisher.publish(text)
    this.#showWaiting()
  }

  #publisherOnConfirm(id) {
    this.#showWaiting()
    this.#listener.sideOnMessage(id)
  }

  #showWaiting() {
    const { waiting } = this.#publisher
    this.#find('.waiting').textContent = waiting === 0 ? '' : `${number.format(waiting)} not confirmed yet`
  }

  #setState(state) {
    this.element.dataset.state = state
    this.#find('.state-text').textContent = STATES[state]
    this.#find('.kill').disabled = state !== 'live'
  }

  #showCount(selector, count) {
    this.#find(selector).textContent = number.format(count)
  }

  #append(className, ...content) {
    const row = document.createElement('li')
    row.className = className
    row.append(...content)
    this.#find('.log').append(row)
    return row
  }

  #find(selector) {
    return this.element.querySelector(selector)
  }
}

function elementOf(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text })
}

/** Ids are `<milliseconds>-<number>`, and only grow. */
function isAfter(id, other) {
  const [ms, rest] = id.split('-').map(BigInt)
  const [otherMs, otherRest] = other.split('-').map(BigInt)
  return ms > otherMs || (ms === otherMs && rest > otherRest)
}
