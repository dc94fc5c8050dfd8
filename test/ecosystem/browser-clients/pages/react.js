import { createElement, StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { follow } from './page.js'

/** StrictMode runs the effect, undoes it and runs it again. */
function useFeed(url) {
  const [told, setTold] = useState([])
  useEffect(() => {
    const source = new EventSource(url)
    follow(source, (text) => setTold((before) => [...before, text]))
    return () => source.close()
  }, [url])
  return told
}

function Feed() {
  return useFeed('/feed').map((text) => createElement('li', { key: text }, text))
}

const root = document.body.appendChild(document.createElement('main'))
createRoot(root).render(createElement(StrictMode, null, createElement(Feed)))
