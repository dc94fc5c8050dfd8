import { createApp, h, onUnmounted, ref } from 'vue'
import { follow } from './page.js'

function useFeed(url) {
  const told = ref([])
  const source = new EventSource(url)
  follow(source, (text) => told.value.push(text))
  onUnmounted(() => source.close())
  return told
}

const Feed = {
  setup() {
    const told = useFeed('/feed')
    return () => told.value.map((text) => h('li', text))
  }
}

createApp(Feed).mount(document.body.appendChild(document.createElement('main')))
