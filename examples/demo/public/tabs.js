/**
 * The tabs, by the pattern of the ARIA Authoring Practices: arrows, Home and End go from one to the next, and each shows its
 * panel at once. A panel is told by the events `show` and `hide`. The location's hash says which one is seen.
 */
const tabs = [...document.querySelectorAll('[role="tab"]')]
const curl = document.getElementById('curl')
const KEYS = {
  ArrowLeft: (at) => at - 1,
  ArrowRight: (at) => (at + 1) % tabs.length,
  Home: () => 0,
  End: () => -1
}

let selected

for (const tab of tabs) {
  tab.addEventListener('click', () => choose(tab))
  tab.addEventListener('keydown', tabOnKeydown)
}
addEventListener('hashchange', () => select(tabOfLocation()))
select(tabOfLocation())

function tabOnKeydown(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return
  const next = KEYS[event.key]?.(tabs.indexOf(event.currentTarget))
  if (next === undefined) return
  event.preventDefault()
  tabs.at(next).focus()
  choose(tabs.at(next))
}

function tabOfLocation() {
  return tabs.find(({ dataset }) => dataset.hash === location.hash) ?? tabs[0]
}

/** Without a new entry in the history: Back leaves the page. */
function choose(tab) {
  history.replaceState(null, '', tab.dataset.hash || location.pathname)
  select(tab)
}

function select(tab) {
  if (tab === selected) return
  selected = tab
  for (const other of tabs) {
    const isSelected = other === tab
    other.ariaSelected = String(isSelected)
    other.tabIndex = isSelected ? 0 : -1
    const panel = document.getElementById(other.getAttribute('aria-controls'))
    panel.tabIndex = 0
    if (panel.hidden !== isSelected) continue
    panel.hidden = !isSelected
    panel.dispatchEvent(new Event(isSelected ? 'show' : 'hide'))
  }
  curl.textContent = `curl -N ${new URL(tab.dataset.stream, document.baseURI)}`
}
