/** Names of what SDKs make of an abort, such as `AbortError`, `APIUserAbortError` and `CanceledError`. */
const ABORT_NAME = /abort|cancell?ed/i
const ABORT_CODES: readonly unknown[] = ['ABORT_ERR', 'UND_ERR_ABORTED', 'ERR_CANCELED']

/** Whether an error says nothing but that a stream has ended, as its signal tells, however deep SDKs have wrapped that. */
export function isAbortOf({ signal }: { readonly signal: AbortSignal }, error: unknown): boolean {
  return signal.aborted && isAbort(error, signal.reason, new Set())
}

function isAbort(error: unknown, reason: unknown, seen: Set<unknown>): boolean {
  if (error === reason) return true
  if (typeof error !== 'object' || error === null || seen.has(error)) return false
  seen.add(error)
  const { name, code, cause, errors } = error as {
    name?: unknown
    code?: unknown
    cause?: unknown
    errors?: unknown
  }
  if (
    ABORT_CODES.includes(code) ||
    [name, error.constructor?.name].some((said) => ABORT_NAME.test(String(said)))
  ) {
    return true
  }
  // One real error among several is one.
  if (Array.isArray(errors) && errors.length > 0) return errors.every((each) => isAbort(each, reason, seen))
  return isAbort(cause, reason, seen)
}
