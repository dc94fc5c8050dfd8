import type { Round, Rounds } from './rounds.ts'

/** A reader's part in the round that is being taken. */
export class RoundPart {
  readonly #rounds: Rounds
  #round: Round | undefined
  /** Whether the application lets it wait. */
  #isWaiting = false

  constructor(rounds: Rounds) {
    this.#rounds = rounds
  }

  /** @returns whether it was in none. */
  join(round: Round): boolean {
    if (this.#round !== undefined) return false
    this.#round = round
    round.pending++
    return true
  }

  /** All of it was taken that can be for now. */
  leave(): undefined {
    const round = this.#round
    if (round === undefined) return
    this.#round = undefined
    this.#rounds.leave(round, this.#isWaiting)
    this.#isWaiting = false
  }

  /** What is to come is held until the application has answered, but no publisher waits for that. */
  wait(): 'held' {
    if (this.#round === undefined || this.#isWaiting) return 'held'
    this.#isWaiting = true
    this.#rounds.wait(this.#round)
    return 'held'
  }

  goOn(): void {
    if (!this.#isWaiting || this.#round === undefined) return
    this.#isWaiting = false
    this.#rounds.goOn(this.#round)
  }
}
