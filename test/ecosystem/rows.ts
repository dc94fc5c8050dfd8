import { authRow, jwtRow } from './plugins/authentication.ts'
import { cachingRow, etagRow } from './plugins/caches.ts'
import { compressRow } from './plugins/compress.ts'
import { cookieRow } from './plugins/cookie.ts'
import { corsRow } from './plugins/cors.ts'
import { helmetRow } from './plugins/helmet.ts'
import { otelRow } from './plugins/otel.ts'
import { rateLimitRow } from './plugins/rate-limit.ts'
import { requestContextRow } from './plugins/request-context.ts'
import { serverRows } from './plugins/servers.ts'
import { sessionRows } from './plugins/sessions.ts'
import { staticRow } from './plugins/static.ts'
import { swaggerRows } from './plugins/swagger.ts'
import { togetherRow } from './plugins/together.ts'
import { underPressureRow } from './plugins/under-pressure.ts'
import { websocketRow } from './plugins/websocket.ts'
import type { Row } from './row.ts'

/** The plugin matrix, line by line. */
export const ROWS: readonly Row[] = [
  corsRow,
  cookieRow,
  ...sessionRows,
  helmetRow,
  compressRow,
  rateLimitRow,
  etagRow,
  cachingRow,
  jwtRow,
  authRow,
  underPressureRow,
  ...swaggerRows,
  websocketRow,
  otelRow,
  requestContextRow,
  staticRow,
  togetherRow,
  ...serverRows
]
