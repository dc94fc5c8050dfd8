/** What a process asks another one over IPC, and what it is answered. Arguments and results go through JSON. */
export interface Call {
  readonly id: number
  readonly method: string
  readonly args: readonly unknown[]
}

export type Reply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string }
  | { readonly warning: string }

type Method = (...args: never[]) => unknown

/** Answers the calls of the process that started this one, tells it every process warning, and ends with it. */
export function serve(methods: object): void {
  process.on('warning', (warning) => reply({ warning: warning.stack ?? warning.message }))
  process.on('disconnect', () => process.exit(0))
  process.on('message', (call: Call) => void answer(methods, call))
}

async function answer(methods: object, { id, method, args }: Call): Promise<void> {
  try {
    const run: Method = Reflect.get(methods, method)
    reply({ id, result: await Reflect.apply(run, methods, args) })
  } catch (error) {
    reply({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}

function reply(message: Reply): void {
  process.send?.(message)
}
