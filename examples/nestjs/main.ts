/**
 * A stream from a controller of NestJS, on its Fastify adapter.
 *
 *     curl -N http://localhost:3000/clock
 */
import 'reflect-metadata'
import { setTimeout } from 'node:timers/promises'
import { Controller, Get, Module, Res } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import type { FastifyReply } from 'fastify'
import eventStream from '../../lib/index.ts' // 'fastify-eventstream' in your project

@Controller()
class ClockController {
  @Get('clock')
  async clock(@Res() reply: FastifyReply): Promise<void> {
    const sse = reply.sseStart()
    while (!sse.signal.aborted) {
      await sse.send({ event: 'tick', data: { now: new Date() } })
      await setTimeout(1_000)
    }
  }

  /** What is thrown after the start ends the stream, and goes to Nest's exception layer, which logs it. */
  @Get('broken')
  async broken(@Res() reply: FastifyReply): Promise<void> {
    const sse = reply.sseStart()
    await sse.send('half')
    await setTimeout(10)
    throw new Error('the clock stands still')
  }
}

@Module({ controllers: [ClockController] })
class AppModule {}

const app = await NestFactory.create<NestFastifyApplication>(AppModule, new FastifyAdapter(), {
  logger: ['error', 'warn']
})
await app.register(eventStream as never) // the adapter has types of its own
app.enableShutdownHooks()
await app.listen(Number(process.env.PORT ?? 3000))
console.log(`Listening on ${await app.getUrl()} .`)
