import { fetchEventSource } from '@microsoft/fetch-event-source'
import { show } from './page.js'

class Over extends Error {}

fetchEventSource('/feed', {
  // By itself it takes a 204 for a mistake, and tries again.
  async onopen({ status }) {
    if (status === 204) throw new Over()
  },
  onmessage({ event, data }) {
    if (event === 'close') throw new Over()
    if (event === 'gap') show(`gap ${data}`)
    // It gives every event, `sse-cursor` too, and blocks without data.
    if (event === '' && data !== '') show(data)
  },
  // By itself it takes every end for the last.
  onclose() {
    throw new Error('comes back')
  },
  onerror(error) {
    if (error instanceof Over) throw error
  }
}).catch(() => show('closed'))
