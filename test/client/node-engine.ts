import { runInThisContext } from 'node:vm'
import './recorder.ts'
import type { Engine } from './engine.ts'

/** This process. */
export const node: Engine = {
  name: 'Node',
  newTab: async () => ({
    evaluate: async (expression) => await runInThisContext(`(async () => (${expression}))()`),
    close: async () => {
      await runInThisContext('tab.closeAll()')
    }
  })
}
