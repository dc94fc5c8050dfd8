import ReconnectingEventSource from 'reconnecting-eventsource'
import { follow, show } from './page.js'

follow(new ReconnectingEventSource('/feed', { max_retry_time: 1 }), show)
