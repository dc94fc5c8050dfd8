import type { Published } from './run-log.ts'

/** Which messages a subscription wants, by a message's number or by its key. */
export type FilterName = 'all' | 'even' | 'key' | 'nothing' | 'throws'

/** The same for the library's filters and for the checker. */
export const FILTERS: Readonly<
  Record<FilterName, ((message: Pick<Published, 'data' | 'key'>) => boolean) | undefined>
> = {
  all: undefined,
  even: ({ data }) => Number(/ (\d+) /.exec(data)?.[1]) % 2 === 0,
  key: ({ key }) => key !== 'key 0',
  nothing: () => false,
  throws: ({ key }) => {
    if (key === 'key 0') throw new Error('a filter threw')
    return true
  }
}
