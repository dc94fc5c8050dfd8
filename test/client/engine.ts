export type EngineName = 'Node' | 'Chromium' | 'Firefox' | 'WebKit'

/** Where the client runs. */
export interface Engine {
  readonly name: EngineName
  /** A new tab on a page of this origin, in which `recorder.ts` runs. */
  newTab(origin: string): Promise<Tab>
}

/** A page, or what stands for one. */
export interface Tab {
  /** Evaluates a script's expression, and waits for what it promises. */
  evaluate(expression: string): Promise<unknown>
  close(): Promise<void>
  /** Ends its process. */
  crash?(): Promise<void>
  /** Takes its network away, or gives it back. */
  setOffline?(isOffline: boolean): Promise<void>
  /** Goes to another page, and comes back by the back/forward cache. */
  leave?(): Promise<void>
  comeBack?(): Promise<void>
  /** Freezes it, as phones do, or thaws it. */
  setFrozen?(isFrozen: boolean): Promise<void>
}
