import { follow, show } from './page.js'

follow(new EventSource('/feed'), show)
