import { FILTERS, type FilterName } from '../filters.ts'
import type { EventMessage, TriedChannelOptions, TriedSubscribeOptions } from './library.ts'
import type { ChannelSetup } from './setup.ts'

const ANSWERS: Readonly<Record<ChannelSetup['onGap'], TriedChannelOptions['onGap']>> = {
  none: undefined,
  answers: answer,
  'answers later': (gap) => new Promise((resolve) => setImmediate(() => resolve(answer(gap)))),
  throws: () => {
    throw new Error('onGap threw')
  },
  'rejects later': () => new Promise((_, reject) => setImmediate(() => reject(new Error('onGap rejected'))))
}

export function channelOptions(setup: ChannelSetup | undefined): TriedChannelOptions {
  if (setup === undefined) return {}
  const { slow, afterGap, onGap } = setup
  const answers = ANSWERS[onGap]
  return answers === undefined ? { slow, afterGap } : { slow, afterGap, onGap: answers }
}

export function filterOption(filter: FilterName): Pick<TriedSubscribeOptions, 'filter'> {
  const passes = FILTERS[filter]
  return passes === undefined ? {} : { filter: passes }
}

function answer(gap: object): EventMessage[] {
  return [
    { event: 'gap', data: { ...gap, hasMore: true } },
    { event: 'gap', data: gap }
  ]
}
