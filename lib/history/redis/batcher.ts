import { Deferred } from '../../base/promises.ts'

interface Waiting<Question, Answer> {
  readonly question: Question
  readonly answer: Deferred<Answer>
}

/** Asks for many things that are wanted in one turn together. */
export class Batcher<Question, Answer> {
  readonly #max: number
  readonly #ask: (questions: readonly Question[]) => Promise<readonly Answer[]>
  #waiting: Waiting<Question, Answer>[] = []

  constructor(max: number, ask: (questions: readonly Question[]) => Promise<readonly Answer[]>) {
    this.#max = max
    this.#ask = ask
  }

  ask(question: Question): Promise<Answer> {
    if (this.#waiting.length === 0) setImmediate(() => this.#flush())
    const answer = new Deferred<Answer>()
    this.#waiting.push({ question, answer })
    return answer.promise
  }

  #flush(): void {
    while (this.#waiting.length > 0) void this.#askSome(this.#waiting.splice(0, this.#max))
  }

  async #askSome(some: readonly Waiting<Question, Answer>[]): Promise<void> {
    try {
      const answers = await this.#ask(some.map(({ question }) => question))
      for (const [i, { answer }] of some.entries()) answer.resolve(answers[i] as Answer)
    } catch (error) {
      for (const { answer } of some) answer.reject(error as Error)
    }
  }
}
