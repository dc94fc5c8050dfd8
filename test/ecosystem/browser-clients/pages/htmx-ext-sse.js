import htmx from 'htmx.org'
import { show } from './page.js'

globalThis.htmx = htmx
await import('htmx-ext-sse')
document.addEventListener('htmx:sseMessage', ({ detail: { type, data } }) => {
  show(type === 'gap' ? `gap ${data}` : data)
})
document.addEventListener('htmx:sseClose', () => show('closed'))
document.body.innerHTML = `
  <div hx-ext="sse" sse-connect="/feed" sse-close="close">
    <p sse-swap="message,gap"></p>
  </div>`
htmx.process(document.body)
