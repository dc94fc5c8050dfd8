/** Shows what a client was told, in order. */
export function show(text) {
  const item = document.createElement('li')
  item.textContent = text
  document.body.append(item)
}

/** Resolves with all that is shown, when this is. */
globalThis.upTo = (text) =>
  new Promise((resolve) => {
    const look = () => {
      const shown = [...document.querySelectorAll('li')].map((item) => item.textContent)
      if (shown.includes(text)) resolve(shown)
    }
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true })
    look()
  })

/** Tells what something like an `EventSource` is told, until it gives up by itself or at the server's farewell. */
export function follow(source, tell) {
  let isClosed = false
  const close = () => {
    // In Firefox, sse.js may tell an event again while it is closed.
    if (!isClosed) tell('closed')
    isClosed = true
  }
  source.addEventListener('message', ({ data }) => tell(data))
  source.addEventListener('gap', ({ data }) => tell(`gap ${data}`))
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) close()
  })
  source.addEventListener('close', () => {
    source.close()
    close()
  })
}
