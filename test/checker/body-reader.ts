const HEAD_END = '\r\n\r\n'

type Part = 'head' | 'size' | 'chunk' | 'chunk end' | 'last chunk end' | 'rest' | 'end'

/** A response's body, its chunks joined (RFC 9112, section 7.1). Throws on everything else that a server could send. */
export class BodyReader {
  #part: Part = 'head'
  /** What is too short to be read yet. */
  #pending: Buffer = Buffer.alloc(0)
  #left = 0

  get isEnded(): boolean {
    return this.#part === 'end'
  }

  /** @returns the pieces of the body in these bytes, which may be cut anywhere. */
  *feed(bytes: Buffer): Generator<Buffer> {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes])
    while (this.#pending.length > 0) {
      const piece = this.#next()
      if (piece === undefined) return
      if (piece.length > 0) yield piece
    }
  }

  /** @returns `undefined` if more bytes are needed. */
  #next(): Buffer | undefined {
    switch (this.#part) {
      case 'head':
        return this.#readHead()
      case 'size':
        return this.#readSize()
      case 'chunk':
        return this.#readChunk()
      case 'chunk end':
        return this.#readChunkEnd('size')
      case 'last chunk end':
        return this.#readChunkEnd('end')
      case 'rest':
        return this.#take(this.#pending.length)
      case 'end':
        throw new Error(`bytes after the end: ${excerpt(this.#pending)}`)
    }
  }

  #readHead(): Buffer | undefined {
    const end = this.#pending.indexOf(HEAD_END)
    if (end < 0) return undefined
    const head = this.#take(end + HEAD_END.length).toString('latin1')
    if (!/^HTTP\/1\.1 200 OK\r\n/.test(head)) throw new Error(`not an event stream: ${head}`)
    this.#part = /\r\ntransfer-encoding: chunked\r\n/i.test(head) ? 'size' : 'rest'
    return Buffer.alloc(0)
  }

  #readSize(): Buffer | undefined {
    const end = this.#pending.indexOf('\r\n')
    if (end < 0 && this.#pending.length < 10) return undefined
    const size = /^[0-9a-f]+$/i.exec(this.#pending.toString('latin1', 0, end))
    if (size === null) throw new Error(`no chunk size: ${excerpt(this.#pending)}`)
    this.#take(end + 2)
    this.#left = Number.parseInt(size[0], 16)
    this.#part = this.#left === 0 ? 'last chunk end' : 'chunk'
    return Buffer.alloc(0)
  }

  #readChunk(): Buffer {
    const piece = this.#take(Math.min(this.#left, this.#pending.length))
    this.#left -= piece.length
    if (this.#left === 0) this.#part = 'chunk end'
    return piece
  }

  #readChunkEnd(next: Part): Buffer | undefined {
    if (this.#pending.length < 2) return undefined
    const end = this.#take(2)
    if (end.toString('latin1') !== '\r\n') throw new Error(`no end of a chunk: ${excerpt(end)}`)
    this.#part = next
    return Buffer.alloc(0)
  }

  #take(length: number): Buffer {
    const taken = this.#pending.subarray(0, length)
    this.#pending = this.#pending.subarray(length)
    return taken
  }
}

function excerpt(bytes: Buffer): string {
  return JSON.stringify(bytes.toString('latin1', 0, 60))
}
