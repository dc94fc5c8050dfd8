import { randomUUID } from 'node:crypto'
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { Transport, TransportSendOptions } from '@modelcontextprotocol/sdk/shared/transport.js'
import {
  isInitializeRequest,
  isJSONRPCNotification,
  isJSONRPCRequest,
  type JSONRPCMessage,
  type MessageExtraInfo,
  type RequestId
} from '@modelcontextprotocol/sdk/types.js'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Channel, Cursor } from '../../lib/index.ts' // 'fastify-eventstream' in your project

/** How long an answer is kept after its end, for a client that was cut. */
const KEPT_MS = 60_000

/** MCP's Streamable HTTP, with sessions and streams that are resumed. `start` makes a server for each session. */
export async function mcp(app: FastifyInstance, { start }: { start: () => McpServer }): Promise<void> {
  const sessions = new Map<string, Session>()
  const sessionOf = ({ headers }: FastifyRequest) => sessions.get(String(headers['mcp-session-id']))

  app.post<{ Body: JSONRPCMessage }>('/mcp', async (request, reply) => {
    const message = request.body
    const session = isInitializeRequest(message) ? await begin(reply) : sessionOf(request)
    if (session === undefined) return reply.code(404).send()
    if (!isJSONRPCRequest(message)) {
      session.receive(message)
      return reply.code(202).send()
    }
    const stream = await session.open(message.id)
    stream.channel.subscribe(reply.sseStart({ cursorEvent: false }), { from: 'first' })
    session.receive(message)
  })

  app.get('/mcp', async (request, reply) => {
    const session = sessionOf(request)
    if (session === undefined) return reply.code(404).send()
    const sse = reply.sseStart()
    session.channelOf(sse.lastEventId).subscribe(sse, { from: 'oldest' })
  })

  app.delete('/mcp', async (request, reply) => {
    await sessionOf(request)?.close()
    return reply.code(204).send()
  })

  async function begin(reply: FastifyReply): Promise<Session> {
    const session = new Session(app, (id) => sessions.delete(id))
    sessions.set(session.sessionId, session)
    reply.header('mcp-session-id', session.sessionId)
    await start().connect(session)
    return session
  }
}

/** What answers one request, and the ids that a client may have of it. */
interface Stream {
  readonly channel: Channel
  readonly ids: Set<Cursor>
}

/** Between an MCP server and one client: a channel for each request, and one for what is no answer. */
class Session implements Transport {
  readonly sessionId = randomUUID()
  onmessage?: <T extends JSONRPCMessage>(message: T, extra?: MessageExtraInfo) => void
  onclose?: () => void
  readonly #app: FastifyInstance
  readonly #forget: (id: string) => void
  readonly #news: Channel
  readonly #streams = new Map<RequestId, Stream>()

  constructor(app: FastifyInstance, forget: (id: string) => void) {
    this.#app = app
    this.#forget = forget
    this.#news = app.sse.channel(`mcp:${this.sessionId}`)
  }

  async start(): Promise<void> {}

  /** An event without data goes before the answer, so that a client can resume it from its beginning. */
  async open(id: RequestId): Promise<Stream> {
    const channel = this.#app.sse.channel(`mcp:${randomUUID()}`)
    const stream = { channel, ids: new Set([await channel.publish({ data: '' })]) }
    this.#streams.set(id, stream)
    return stream
  }

  /** Of which an id is. */
  channelOf(lastEventId: string | undefined): Channel {
    const streams = [...this.#streams.values()]
    return streams.find(({ ids }) => ids.has(String(lastEventId)))?.channel ?? this.#news
  }

  receive(message: JSONRPCMessage): void {
    this.onmessage?.(message)
    if (isJSONRPCNotification(message) && message.method === 'notifications/cancelled')
      void this.#end(message.params?.requestId as RequestId)
  }

  async send(message: JSONRPCMessage, { relatedRequestId }: TransportSendOptions = {}): Promise<void> {
    if (!('method' in message)) return this.#end(message.id as RequestId, message)
    const stream = this.#streams.get(relatedRequestId ?? '')
    const id = await (stream?.channel ?? this.#news).publish({ data: message })
    stream?.ids.add(id)
  }

  async close(): Promise<void> {
    this.#forget(this.sessionId)
    this.onclose?.()
    await Promise.all([this.#news.end(), ...[...this.#streams.keys()].map((id) => this.#end(id))])
  }

  async #end(id: RequestId, answer?: JSONRPCMessage): Promise<void> {
    await this.#streams.get(id)?.channel.end(answer && { data: answer })
    setTimeout(() => this.#streams.delete(id), KEPT_MS).unref()
  }
}
