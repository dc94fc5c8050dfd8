import { createEventSource } from 'eventsource-client'
import { show } from './page.js'

const source = createEventSource('/feed')
for await (const { event, data } of source) {
  if (event === 'close') source.close()
  if (event === 'gap') show(`gap ${data}`)
  // It gives every event, `sse-cursor` too.
  if (event === undefined) show(data)
}
show('closed')
