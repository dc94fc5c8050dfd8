import { Transform, type TransformCallback } from 'node:stream'

const SUBTEST = /^( *)# Subtest: (.*)$/
const NOT_OK = /^( *)not ok \d+(?: - (.*?))?(?: # time=.*)?$/
const SUMMARY = /^# \{ total: /
const INDENT = 4

/** Passes TAP on, and says before its summary what has failed: of a long run, that may be all that somebody sees. */
export class Failures extends Transform {
  #rest = ''
  /** What is being run, from the test file to the innermost subtest. */
  readonly #names: string[] = []
  readonly #failed: string[] = []

  constructor() {
    super({ decodeStrings: false, encoding: 'utf8' })
  }

  override _transform(chunk: string, _: BufferEncoding, done: TransformCallback): void {
    const lines = (this.#rest + chunk).split('\n')
    this.#rest = lines.pop() ?? ''
    done(null, lines.map((line) => `${this.#meet(line)}${line}\n`).join(''))
  }

  override _flush(done: TransformCallback): void {
    done(null, this.#rest)
  }

  /** @returns what comes before a line. */
  #meet(line: string): string {
    const [, space = '', name] = SUBTEST.exec(line) ?? []
    if (name !== undefined) this.#names.splice(space.length / INDENT, Infinity, name)
    const failure = NOT_OK.exec(line)
    if (failure !== null) this.#note(String(failure[1]).length / INDENT, failure[2] ?? '')
    return SUMMARY.test(line) ? this.#failed.map((path) => `# not ok: ${path}\n`).join('') : ''
  }

  /** A test is not told again for what is in it. */
  #note(depth: number, text: string): void {
    const path = [...this.#names.slice(0, depth), text].join(' › ')
    if (!this.#failed.some((inner) => inner.startsWith(`${path} › `))) this.#failed.push(path)
  }
}
