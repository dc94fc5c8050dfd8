import type { FastifyInstance, FastifyRequest } from 'fastify'
import { internal } from './internals.ts'

/** What is used of Fastify's `LogController`, which it hands to nobody; older versions have none. */
interface LogController {
  isLogDisabled(request: FastifyRequest): boolean
}

/** Whether the server's own log tells of a request: not if its `disableRequestLogging` or `logController` says so. */
export function requestLogging(app: FastifyInstance): (request: FastifyRequest) => boolean {
  const controller = internal<LogController>(app, 'fastify.logController')
  if (controller !== undefined) return (request) => !controller.isLogDisabled(request)
  const { disableRequestLogging } = app.initialConfig
  return typeof disableRequestLogging === 'function'
    ? (request) => !disableRequestLogging(request)
    : () => disableRequestLogging !== true
}
