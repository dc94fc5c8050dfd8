import { nextTurn } from '../../helpers/server.ts'
import type { RunLog } from '../run-log.ts'
import { EventLoop } from './event-loop.ts'
import type { Library } from './library.ts'
import type { Setup } from './setup.ts'
import type { Step } from './steps.ts'
import { World } from './world.ts'

/** Runs a schedule on fake transports, and then lets everybody catch up and leave. */
export async function runSchedule(library: Library, setup: Setup, steps: readonly Step[]): Promise<RunLog> {
  const run = await EventLoop.run(async (loop) => {
    const world = new World(loop, library, setup)
    try {
      for (const step of steps) {
        await take(world, 'client' in step ? { ...step, client: step.client % setup.clients.length } : step)
      }
      return await world.finish()
    } finally {
      await world.dispose()
    }
  })
  // What `WeakRef`s have led to is let go of when the real event loop turns.
  await nextTurn()
  return run
}

async function take(world: World, step: Step): Promise<void> {
  switch (step.do) {
    case 'publish':
      return world.publish(step)
    case 'connect':
      return world.connect(step)
    case 'go on':
      return world.goOn(step.client)
    case 'join':
      return world.join(step)
    case 'send':
      return world.send(step.client, step.size)
    case 'unsubscribe':
      return world.unsubscribe(step.client, step.index)
    case 'subscribe again':
      return world.subscribeAgain(step)
    case 'end turn':
      return world.endTurn()
    case 'settle':
      return world.settle()
    case 'wait':
      return world.wait(step.ms)
    case 'restart':
      return world.restart()
    case 'clear':
      return world.clear(step.channel)
    case 'admit':
      return world.admit(step.client)
    case 'read channel':
      return world.readChannel(step)
    case 'ask':
      return world.ask(step)
    case 'give up':
      return world.giveUp(step.reader)
    case 'pace':
      world.loop.paceMs = step.ms
      return
    default:
      takeOnStream(world, step)
  }
}

type StreamStep = Extract<
  Step,
  { do: 'open' | 'stop reading' | 'read on' | 'read' | 'cut' | 'close' | 'destroy' }
>

function takeOnStream(world: World, step: StreamStep): void {
  const stream = world.streamOf(step.client)
  if (stream === undefined) return
  if (step.do === 'open') stream.open()
  else if (step.do === 'stop reading') stream.isReading = false
  else if (step.do === 'read on') stream.isReading = true
  else if (step.do === 'read') stream.read(step.bytes)
  else if (step.do === 'close') stream.close(world.tick())
  else if (step.do === 'destroy') stream.destroy()
  else Object.assign(stream, { cutAfter: step.after, unnoticedTurns: step.unnoticedTurns })
}
