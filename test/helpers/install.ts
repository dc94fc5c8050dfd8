import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** What the tests need besides Node: Debian's package → the file it brings. Without Firefox they do, but not in CI. */
const PACKAGES = {
  chromium: '/usr/bin/chromium',
  ...(process.env.CI === 'true' && { 'firefox-esr': '/usr/bin/firefox-esr' }),
  haproxy: '/usr/sbin/haproxy',
  nginx: '/usr/sbin/nginx',
  'redis-server': '/usr/bin/redis-server'
}

const missing = Object.entries(PACKAGES)
  .filter(([, file]) => !existsSync(file))
  .map(([name]) => name)

if (missing.length > 0) {
  const install = ['install', '-y', '--no-install-recommends', ...missing]
  if (!existsSync('/etc/debian_version') || process.getuid?.() !== 0) {
    console.error(`The tests need ${missing.join(', ')}. As root on Debian or Ubuntu:`)
    console.error(`  apt-get update && apt-get ${install.join(' ')}`)
    process.exit(1)
  }
  const options = { stdio: 'inherit', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } } as const
  execFileSync('apt-get', ['update'], options)
  execFileSync('apt-get', install, options)
}
