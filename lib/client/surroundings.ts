/** What `EventTarget`s are asked for. */
interface Target {
  addEventListener(type: string, listener: () => void, options: { readonly signal: AbortSignal }): void
}

/** The Web Locks API, as far as it is used. */
export interface Locks {
  request(name: string, options: { readonly signal: AbortSignal }, callback: () => unknown): Promise<unknown>
}

/** What a page has, a worker in part, and Node not. */
interface Surroundings extends Partial<Target> {
  readonly document?: Target
  readonly navigator?: { readonly onLine?: boolean; readonly locks?: Locks }
}

/** The only place where it is believed what the global object is. */
function surroundings(): Surroundings {
  return globalThis as Surroundings
}

/** Whether the browser says that it has no network. */
export function isOffline(): boolean {
  return surroundings().navigator?.onLine === false
}

/** There are none in pages without HTTPS, nor in Node before 24. */
export function findLocks(): Locks | undefined {
  return surroundings().navigator?.locks
}

/**
 * Tells when the page is put away, frozen or into the back/forward cache, and when it is back
 * (HTML, section 7.4.6; https://wicg.github.io/page-lifecycle).
 */
export function watchPage(signal: AbortSignal, fallAsleep: () => void, wake: () => void): void {
  const page = surroundings()
  page.addEventListener?.('pagehide', fallAsleep, { signal })
  page.addEventListener?.('pageshow', wake, { signal })
  page.document?.addEventListener('freeze', fallAsleep, { signal })
  page.document?.addEventListener('resume', wake, { signal })
}

/** Longer timers fire at once. */
export const MAX_TIMER_MS = 2_147_483_647

/** Rejects once `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })
}

/** Resolves after so many milliseconds, once `signal` aborts or, if that is asked for, the browser is online again. */
export function pause(ms: number, signal: AbortSignal, endsOnline: boolean): Promise<void> {
  return new Promise((resolve) => {
    const waiting = new AbortController()
    const end = (): void => {
      clearTimeout(timer)
      waiting.abort()
      resolve()
    }
    const timer = setTimeout(end, Math.min(ms, MAX_TIMER_MS))
    if (signal.aborted) end()
    signal.addEventListener('abort', end, { signal: waiting.signal })
    if (endsOnline) surroundings().addEventListener?.('online', end, { signal: waiting.signal })
  })
}
