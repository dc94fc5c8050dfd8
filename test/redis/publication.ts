import { setTimeout as sleep } from 'node:timers/promises'
import type { Node, PublishAnswer } from './node.ts'
import type { Attempt } from './stream-log.ts'

const POLL_MS = 20
const FAILED = 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED'

/** One message and what became of it, however often its publisher tries. */
export class Publication implements Attempt {
  readonly channel: string
  readonly data: string
  readonly idempotencyKey: string | undefined
  readonly sentAt: number = Date.now()
  settledAt = Infinity
  outcome: Attempt['outcome'] = 'pending'
  id = ''
  /** The answers so far. */
  readonly answers: PublishAnswer[] = []
  #isDoubtful = false

  constructor(channel: string, data: string, idempotencyKey: string | undefined) {
    this.channel = channel
    this.data = data
    this.idempotencyKey = idempotencyKey
  }

  get lastAnswer(): { code: string; message: string } {
    return { code: '', message: '', ...this.answers.at(-1) }
  }

  /** Whether it may be published again without being there twice. */
  get mayBeRetried(): boolean {
    return this.outcome !== 'acknowledged' && (this.idempotencyKey !== undefined || !this.#isDoubtful)
  }

  async sendTo(node: Node): Promise<void> {
    const { channel, data, idempotencyKey } = this
    const answer = await node.publish({ channel, data, idempotencyKey }).catch((error: Error) => ({
      code: 'NO_ANSWER',
      message: error.message
    }))
    this.answers.push(answer)
    if ('id' in answer) {
      this.settle(answer.id)
      return
    }
    this.settledAt = Date.now()
    this.#isDoubtful ||= answer.code !== FAILED
    this.outcome = this.#isDoubtful ? 'unconfirmed' : 'failed'
  }

  /** Publishes it again until it is taken, as a publisher with an idempotency key may. */
  async retry(node: () => Node): Promise<void> {
    while (this.mayBeRetried) {
      await sleep(POLL_MS)
      await this.sendTo(node())
    }
  }

  /** It is there. */
  settle(id: string): void {
    this.id = id
    this.settledAt = Date.now()
    this.outcome = 'acknowledged'
  }
}
