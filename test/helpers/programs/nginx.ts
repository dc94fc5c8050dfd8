import { join } from 'node:path'
import type { ProxyProgram } from '../reverse-proxy.ts'

/** What it would write to directories of the system. */
const TEMP = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']

export const nginx: ProxyProgram = {
  name: 'nginx',
  example: 'nginx.conf',
  args: (dir) => [
    ...['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', 'stderr'],
    ...['-g', `daemon off; pid ${join(dir, 'pid')}; error_log stderr notice;`]
  ],
  edits: (dir, { plain, tls }, upstream) => ({
    'http {': `http {\naccess_log off;\n${tempPaths(dir)}`,
    'listen 80;': `listen 127.0.0.1:${plain};`,
    'listen 443 ': `listen 127.0.0.1:${tls} `,
    '/etc/ssl/certs/app.pem': join(dir, 'cert.pem'),
    '/etc/ssl/private/app.key': join(dir, 'key.pem'),
    '127.0.0.1:3000': `127.0.0.1:${upstream}`
  }),
  ready: 'start worker process ',
  started: /start worker process (\d+)/g,
  exited: /worker process (\d+) exited/g,
  reload: 'SIGHUP'
}

export function tempPaths(dir: string): string {
  return TEMP.map((name) => `${name}_temp_path ${join(dir, name)};\n`).join('')
}
