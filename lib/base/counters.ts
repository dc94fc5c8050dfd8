/** What one registration of the plugin counts. Handed down to all who have something to add. */
export class Counters {
  /** Streams that were ever started. */
  opened = 0
  /** Messages that were published and kept; retries that were known count too. */
  published = 0
  /** Published messages that were written to connections, once for each. */
  delivered = 0
  gaps = 0
  /** Connections that were destroyed because their readers were too slow. */
  evictions = 0
  subscriptions = 0
  /** Streams that were refused: by a limit, by a handler, or because the server closes. */
  refused = 0
}
