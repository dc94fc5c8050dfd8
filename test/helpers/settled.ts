/** Whether a promise has settled by the end of the pending microtasks. */
export async function hasSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  const settle = (): void => {
    settled = true
  }
  promise.then(settle, settle)
  for (let i = 0; i < 20; i++) await undefined
  return settled
}
