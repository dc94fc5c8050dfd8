import { EventSourcePolyfill } from 'event-source-polyfill'
import { follow, show } from './page.js'

follow(new EventSourcePolyfill('/feed'), show)
