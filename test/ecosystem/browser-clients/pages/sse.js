import { SSE } from 'sse.js'
import { follow, show } from './page.js'

follow(new SSE('/feed', { autoReconnect: true }), show)
