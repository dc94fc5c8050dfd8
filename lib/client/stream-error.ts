import type { EndReason } from './options.ts'

/** Why a stream has failed. */
export class StreamError extends Error {
  override readonly name = 'StreamError'
  readonly reason: EndReason
  /** The answer that was no event stream, if there was one; its body was not read. */
  readonly response: Response | undefined

  /** @param cause What was thrown, if anything was. */
  constructor(reason: EndReason, cause: unknown, response?: Response) {
    super(`The event stream is ${reason}${response ? ` (${response.status})` : ''}`, { cause })
    this.reason = reason
    this.response = response
  }
}
