import { runInThisContext } from 'node:vm'
import './node-locks.ts'
import './recorder.ts'
import type { Engine } from './engine.ts'

/** This process. Its tabs are streams that know nothing of each other. */
export const node: Engine = {
  name: 'Node',
  async newTab() {
    const opened: unknown[] = []
    return {
      async evaluate(expression) {
        const result = await runInThisContext(`(async () => (${expression}))()`)
        if (expression.startsWith('tab.open(')) opened.push(result)
        return result
      },
      async close() {
        for (const index of opened) runInThisContext(`tab.at(${index}).stream.close()`)
      }
    }
  }
}
