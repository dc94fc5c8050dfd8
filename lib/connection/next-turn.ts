let turn: Promise<void> | undefined

/** Resolves in the next turn of the event loop, for all who ask in this one. */
export function nextTurn(): Promise<void> {
  turn ??= new Promise((resolve) => {
    setImmediate(() => {
      turn = undefined
      resolve()
    })
  })
  return turn
}
