/** What the model keeps: each is a rule of the design that can be taken back, to see what it is for. */
export const RULES = {
  /** How many places of channels that are behind fit into an id. */
  maxNames: 8,
  /** What subscribed readers who keep up have not been offered is kept beyond the limits of its channel. */
  keepsUnoffered: true,
  /** Nothing of a returning client's is given before its handler has settled, or 250 ms have passed. */
  holdsReturning: true,
  /** Nor of a new client's that starts in the past. */
  holdsNew: true,
  /** The oldest message is that which is kept when something is first given. */
  lazyOldest: true,
  /** What begins behind the cursor is caught up with. */
  catchesUp: true,
  /** Those are named in ids until then. */
  names: true,
  /** Ids that are told before the handler has settled are uncertain of what it has not subscribed to. */
  uncertain: true,
  /** Those of a handler that subscribes to the same channels again are exact. */
  sum: true,
  /** What the client brought is used up when the handler has settled. */
  usedUp: true,
  /** It counts for the first subscription to a channel only. */
  firstOnly: true,
  /** What was published before `unsubscribe()` is still given. */
  rest: true,
  /** A gap is told at the place of the newest message that was dropped, not at once. */
  gapInOrder: true,
  /** Of what is told at one place only the last has an id. */
  lastHasId: true,
  /** A gap that is known at the start is told before any id. */
  gapBeforeIds: true,
  /** What was dropped while `onGap` was asked is a part of its gap. */
  askedIsPart: true,
  /** Who brings an id that nobody knows is told so, once. */
  unknown: true,
  /** `'latest'` looks at what the subscription will be given, not at all of the channel. */
  latestWithin: true,
  /** It counts for who starts behind, too. */
  latestBehind: true,
  /** A message of several channels that another subscription has given is not given again. */
  once: true,
  /** A message on which a filter throws is passed over. */
  passesOver: true,
  /** The client is told its cursor when a subscription has begun. */
  tellsStart: true,
  /** And when a filter has passed over 64 KiB. */
  tellsPassed: true,
  /** `send()` waits behind what was published before. */
  sendWaits: true,
  /** `close()` gives what was published before. */
  closeGives: true
}

export type Rules = typeof RULES
