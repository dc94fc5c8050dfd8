import type { BrowserProgram } from '../browser.ts'

export const firefox: BrowserProgram = { name: 'firefox', browser: 'firefox', args: [] }
