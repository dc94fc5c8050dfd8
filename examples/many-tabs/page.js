import { openSharedEventStream } from '../../lib/client/shared.ts' // 'fastify-eventstream/client/shared' in your project

const page = Object.fromEntries(
  [...document.querySelectorAll('[id]')].map((element) => [element.id, element])
)
const number = new Intl.NumberFormat('en')

const stream = openSharedEventStream('events', { onState: streamOnState })
stream.on('news', ({ data }) => append('said', data))
stream.on('gap', () => {
  page.news.replaceChildren()
  append('gap', 'The server cannot tell how far this page had come. It begins again:')
})

page.scroller.tabIndex = 0 // so that one can scroll it by key
page.form.addEventListener('submit', formOnSubmit)

function streamOnState(state) {
  const isOpen = state === 'open'
  document.documentElement.dataset.state = isOpen ? 'live' : 'reconnecting'
  page.state.textContent = isOpen ? 'Live' : 'Reconnecting'
  if (isOpen) showStreams().catch(() => {}) // told again at the next change
}

async function showStreams() {
  const { streams } = await (await fetch('stats')).json()
  page.streams.textContent = number.format(streams)
}

function append(className, text) {
  page.news.append(Object.assign(document.createElement('li'), { className, textContent: text }))
  page.received.textContent = number.format(page.news.querySelectorAll('.said').length)
}

async function formOnSubmit(event) {
  event.preventDefault()
  const text = page.text.value.trim()
  if (text === '') return
  page.problem.textContent = ''
  try {
    const headers = { 'content-type': 'application/json' }
    const { ok, status } = await fetch('news', { method: 'POST', headers, body: JSON.stringify({ text }) })
    if (!ok) throw new Error(`${status}`)
    page.text.value = ''
  } catch {
    page.problem.textContent = 'The server did not answer. If it is not in the list, publish it again.'
  }
}
