import { SharedEventSource } from './shared-event-source.js'

const page = Object.fromEntries(
  [...document.querySelectorAll('[id]')].map((element) => [element.id, element])
)
const number = new Intl.NumberFormat('en')

const source = new SharedEventSource('/events', ['news'])
source.addEventListener('news', ({ data }) => append('said', data))
source.addEventListener('gap', () => {
  page.news.replaceChildren()
  append('gap', 'The server cannot tell how far this page had come. It begins again:')
})
source.addEventListener('status', sourceOnStatus)

page.name.textContent = source.name
page.scroller.tabIndex = 0 // so that one can scroll it by key
page.form.addEventListener('submit', formOnSubmit)

function sourceOnStatus() {
  const { leader, isOpen } = source.status
  const leads = leader === source.name
  document.documentElement.dataset.state = isOpen ? 'live' : 'reconnecting'
  document.documentElement.dataset.role = leads ? 'leads' : 'listens'
  document.title = `${leads ? '★ ' : ''}${source.name}: many tabs`
  page.state.textContent = isOpen ? 'Live' : 'Reconnecting'
  page.leader.textContent = leads ? `${leader}, this one` : leader
  if (isOpen) showStreams().catch(() => {}) // told again at the next change
}

async function showStreams() {
  const { streams } = await (await fetch('/stats')).json()
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
    const { ok, status } = await fetch('/news', { method: 'POST', headers, body: JSON.stringify({ text }) })
    if (!ok) throw new Error(`${status}`)
    page.text.value = ''
  } catch {
    page.problem.textContent = 'The server did not answer. If it is not in the list, publish it again.'
  }
}
