import { setTimeout } from 'node:timers/promises'

/** A language model: gives its answer piece by piece, until it is done or `signal` aborts. */
export type Model = (prompt: string, signal: AbortSignal) => AsyncIterable<string>

/** Stands for one: about twenty words a second. */
export async function* parrot(prompt: string, signal: AbortSignal): AsyncGenerator<string> {
  for (const word of `You said: ${prompt}`.split(/(?<=\s)/)) {
    await setTimeout(50, undefined, { signal })
    yield word
  }
}
