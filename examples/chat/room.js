/** For how long somebody is typing who does not say that it is over. */
const TYPING_MS = 5_000
/** How often somebody who types says so. */
const TELL_MS = 2_000

const GAPS = {
  unknown: 'The server was restarted: messages may be missing here',
  expired: 'You were away for too long: messages are missing here',
  slow: 'Your connection was too slow: messages are missing here'
}
const UNKNOWN_GAP = 'Messages may be missing here'

const clock = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })

/** One room of the page. It shows what the stream brings and nothing else, also of what is said here. */
export class Room {
  element
  #path
  #nameInput
  #messages
  #typingLine
  #text
  #problem
  /** Name → timer that ends it. */
  #typists = new Map()
  /** When we last said that we are typing; 0 if we are not. */
  #toldAt = 0

  constructor(room, title, nameInput) {
    const { content } = document.getElementById('room')
    this.element = content.cloneNode(true).firstElementChild
    this.#path = `rooms/${room}`
    this.#nameInput = nameInput
    this.#messages = this.element.querySelector('.messages')
    this.#typingLine = this.element.querySelector('.typing')
    this.#text = this.element.querySelector('.text')
    this.#problem = this.element.querySelector('.problem')
    this.element.id = room
    this.element.setAttribute('aria-label', title)
    this.element.querySelector('h2').textContent = title
    this.#messages.parentElement.tabIndex = 0 // so that one can scroll it by key
    this.#messages.parentElement.setAttribute('aria-label', `What is said in the ${title}`)
    this.#text.setAttribute('aria-label', `Message to the ${title}`)
    this.#text.placeholder = `Message to the ${title}`
    this.#text.addEventListener('input', () => this.#textOnInput())
    this.element.querySelector('form').addEventListener('submit', (event) => this.#formOnSubmit(event))
  }

  show({ name, text, time }) {
    const item = document.createElement('li')
    item.className = name === this.#nameInput.value ? 'said own' : 'said'
    item.style.setProperty('--hue', hueOf(name))
    const when = elementOf('time', clock.format(time))
    when.dateTime = new Date(time).toISOString()
    item.append(elementOf('b', name), when, elementOf('p', text))
    this.#messages.append(item)
  }

  showGap({ reason }) {
    const item = elementOf('li', GAPS[reason] ?? UNKNOWN_GAP)
    item.className = 'gap'
    this.#messages.append(item)
  }

  showTyping({ name, isTyping }) {
    clearTimeout(this.#typists.get(name))
    this.#typists.delete(name)
    if (isTyping && name !== this.#nameInput.value) {
      this.#typists.set(
        name,
        setTimeout(() => this.showTyping({ name, isTyping: false }), TYPING_MS)
      )
    }
    this.#typingLine.textContent = typingText([...this.#typists.keys()])
  }

  #textOnInput() {
    this.#problem.textContent = ''
    const isTyping = this.#text.value !== ''
    if (isTyping ? performance.now() - this.#toldAt < TELL_MS && this.#toldAt > 0 : this.#toldAt === 0) return
    this.#toldAt = isTyping ? performance.now() : 0
    this.#post('typing', { isTyping }).catch(() => {}) // it is over soon in any case
  }

  /** A text that was not taken goes back to where it was written. */
  async #formOnSubmit(event) {
    event.preventDefault()
    const text = this.#text.value.trim()
    this.#text.value = ''
    this.#problem.textContent = ''
    this.#toldAt = 0
    this.#messages.parentElement.scrollTop = 0 // the end
    try {
      if (text !== '') await this.#post('messages', { text })
    } catch {
      this.#text.value ||= text
      this.#problem.textContent = 'The server did not answer. If it is not in the room, send it again.'
    }
  }

  async #post(what, body) {
    const response = await fetch(`${this.#path}/${what}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: this.#nameInput.value, ...body })
    })
    if (!response.ok) throw new Error(`${response.status}`)
  }
}

function elementOf(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text })
}

function typingText(names) {
  if (names.length === 0) return ''
  if (names.length > 3) return 'Several people are typing…'
  return `${new Intl.ListFormat('en').format(names)} ${names.length === 1 ? 'is' : 'are'} typing…`
}

/** Everybody has a colour, on every page the same. */
function hueOf(name) {
  let hash = 0
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 1_000_003
  return (hash * 137) % 360
}
