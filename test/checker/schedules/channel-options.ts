import type { ChannelMessage, ChannelOptions, Gap, GapAnswer, SubscribeOptions } from '../../../lib/types.ts'
import { FILTERS, type FilterName } from '../filters.ts'
import type { ChannelSetup } from './setup.ts'

const ANSWERS: Readonly<Record<ChannelSetup['onGap'], ChannelOptions['onGap']>> = {
  none: undefined,
  answers: answer,
  'answers later': (gap) => new Promise((resolve) => setImmediate(() => resolve(answer(gap)))),
  throws: () => {
    throw new Error('onGap threw')
  },
  'rejects later': () => new Promise((_, reject) => setImmediate(() => reject(new Error('onGap rejected'))))
}

export function channelOptions(setup: ChannelSetup | undefined): ChannelOptions {
  if (setup === undefined) return {}
  const { slow, afterGap, onGap } = setup
  const answers = ANSWERS[onGap]
  return answers === undefined ? { slow, afterGap } : { slow, afterGap, onGap: answers }
}

export function filterOption(filter: FilterName): Pick<SubscribeOptions, 'filter'> {
  const passes = FILTERS[filter]
  return passes === undefined ? {} : { filter: (message: ChannelMessage) => passes(message) }
}

function answer(gap: Gap): GapAnswer {
  return [
    { event: 'gap', data: { ...gap, hasMore: true } },
    { event: 'gap', data: gap }
  ]
}
