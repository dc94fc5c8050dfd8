import { Room } from './room.js'

/** When to try again where an EventSource does not: after an answer such as a proxy's 502. */
const RETRY_MS = 2_000
const STATES = { live: 'Live', reconnecting: 'Reconnecting' }

const nameInput = document.getElementById('name')
const rooms = new Map(
  [
    ['lobby', 'Lobby'],
    ['garden', 'Garden']
  ].map(([room, title]) => [room, new Room(room, title, nameInput)])
)
let lastEventId = ''

nameInput.value = sessionStorage.getItem('name') ?? `Guest ${Math.floor(100 + Math.random() * 900)}`
nameInput.addEventListener('change', keepName)
keepName()
document.getElementById('rooms').append(...[...rooms.values()].map(({ element }) => element))
document.getElementById('cut').addEventListener('click', () => fetch('cut', { method: 'POST' }))
connect()

/** An EventSource that comes back sends its last id by itself; a new one is given that of the last event it had. */
function connect() {
  const source = new EventSource(`events?lastEventId=${encodeURIComponent(lastEventId)}`)
  const listen = (event, listener) => {
    source.addEventListener(event, (message) => {
      lastEventId = message.lastEventId
      listener(JSON.parse(message.data))
    })
  }
  listen('said', (said) => rooms.get(said.room)?.show(said))
  listen('typing', (typing) => rooms.get(typing.room)?.showTyping(typing))
  listen('gap', showGap)
  source.addEventListener('open', () => setState('live'))
  source.addEventListener('error', () => {
    setState('reconnecting')
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS)
  })
}

/** One that names no channel is of all of them. */
function showGap(gap) {
  const concerned = gap.channel === undefined ? rooms.values() : [rooms.get(gap.channel)]
  for (const room of concerned) room?.showGap(gap)
}

function setState(state) {
  document.documentElement.dataset.state = state
  document.getElementById('state').textContent = STATES[state]
}

/** For this window only, so that one can talk to oneself in another. */
function keepName() {
  nameInput.value = nameInput.value.trim() || sessionStorage.getItem('name')
  sessionStorage.setItem('name', nameInput.value)
}
