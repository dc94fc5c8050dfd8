const frame = document.querySelector('iframe')
const links = [...document.querySelectorAll('nav a.name')]

for (const link of document.querySelectorAll('nav a')) link.addEventListener('click', linkOnClick)
addEventListener('hashchange', show)
show()

/** The address of this page says which example is shown, so that it is shown again after a reload. */
function linkOnClick(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return
  event.preventDefault()
  location.hash = event.currentTarget.getAttribute('href').replace(/\/$/, '')
}

function show() {
  const [, source, name] = /^#(source\/)?(.+)$/.exec(location.hash) ?? []
  const current = links.find((link) => link.getAttribute('href') === `${name}/`) ?? links[0]
  for (const link of links) link.toggleAttribute('aria-current', false)
  current.setAttribute('aria-current', 'page')
  current.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  const path = source === undefined ? current.getAttribute('href') : `source/${name}`
  frame.title = source === undefined ? current.textContent : `Source of ${current.textContent}`
  // Not as a step of its own in the browser's history.
  frame.contentWindow.location.replace(new URL(path, document.baseURI))
}
