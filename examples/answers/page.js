const ENDS = {
  done: '',
  stopped: 'Stopped.',
  failed: 'The model has failed.',
  lost: 'The rest is lost: its server is gone.'
}
/** When to try again where an EventSource does not. */
const RETRY_MS = 1_000

const page = Object.fromEntries(
  [...document.querySelectorAll('[id]')].map((element) => [element.id, element])
)
const shown = new Set()

page.ask.addEventListener('submit', (event) => {
  event.preventDefault()
  const question = page.question.value.trim()
  if (question === '') return
  page.question.value = ''
  void ask(crypto.randomUUID(), question)
})
page.cut.addEventListener('click', () => fetch('cut', { method: 'POST' }).catch(() => {}))
listen()

/** The questions of all tabs. */
function listen() {
  const source = new EventSource('questions')
  source.addEventListener('open', () => setState('live'))
  source.addEventListener('question', ({ data }) => show(JSON.parse(data)))
  source.addEventListener('error', () => {
    setState('reconnecting')
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS)
  })
}

/** Again with the same id is safe: there is one answer to it. */
async function ask(id, question) {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`answers/${id}`, {
    method: 'PUT',
    headers,
    body: JSON.stringify({ question })
  }).catch(() => {})
  page.refusal.textContent = response?.ok
    ? ''
    : response?.status === 429
      ? 'One after the other, please.'
      : 'Try again.'
}

function show({ id, question }) {
  if (shown.has(id)) return
  shown.add(id)
  const { content } = page.template
  const item = content.cloneNode(true).firstElementChild
  const [asked, text, note] = ['.question', '.answer', '.note'].map((selector) =>
    item.querySelector(selector)
  )
  const [stop, again] = ['.stop', '.again'].map((selector) => item.querySelector(selector))
  asked.textContent = question
  stop.addEventListener('click', () => {
    page.question.focus()
    fetch(`answers/${id}`, { method: 'DELETE' }).catch(() => {})
  })
  again.addEventListener('click', async () => {
    page.question.focus()
    await ask(id, question)
    read()
  })
  page.answers.append(item)
  item.scrollIntoView({ block: 'nearest' })
  read()

  function read() {
    text.textContent = ''
    setRunning(true, '')
    const source = new EventSource(`answers/${id}`)
    source.addEventListener('node', ({ data }) => setRunning(true, `By process ${JSON.parse(data).pid}`))
    source.addEventListener('word', ({ data }) => {
      text.textContent += JSON.parse(data).word
    })
    source.addEventListener('gap', () => {
      text.textContent = ''
    })
    source.addEventListener('end', ({ data }) => {
      source.close()
      const { state } = JSON.parse(data)
      item.dataset.state = state
      setRunning(false, ENDS[state])
      again.hidden = state !== 'lost' && state !== 'failed'
    })
    source.addEventListener('error', () => {
      if (source.readyState === EventSource.CLOSED) setRunning(false, 'It is not kept any more.')
    })
  }

  function setRunning(isRunning, said) {
    if (isRunning) item.dataset.state = 'running'
    // It is read out when it is whole.
    text.ariaBusy = String(isRunning)
    stop.hidden = !isRunning
    again.hidden = true
    note.textContent = said
  }
}

function setState(state) {
  document.documentElement.dataset.state = state
  page.state.textContent = state === 'live' ? 'Live' : 'Reconnecting'
}
