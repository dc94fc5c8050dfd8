export { launchChromium } from './programs/chromium.ts'
