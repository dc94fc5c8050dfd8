import { register } from 'node:module'

// Node 20 cannot. Like what later ones do by themselves, this leaves every character where it was, so that the coverage is exact.
if (!process.features.typescript) register('./hooks.js', import.meta.url)

// In all processes of `npm run falsify -- --break`.
if (process.env.BREAK !== undefined) {
  const { BREAKS } = await import('../../falsify/breaks.ts')
  register('../../falsify/break-hooks.js', import.meta.url, { data: BREAKS[process.env.BREAK] })
}
