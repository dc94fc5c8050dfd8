interface Raw {
  readonly rawHeaders: readonly string[]
  readonly method?: string | undefined
}

/** A header as it came, with all its values: a schema that does not name it may have removed it from `headers`. */
export function rawHeader({ rawHeaders }: Raw, name: string): string | undefined {
  const values = rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name)
  return values.length === 0 ? undefined : values.join(', ')
}

/** In HTTP/2 it is a header, and may have been removed as one. */
export function methodOf(raw: Raw): string {
  return raw.method ?? rawHeader(raw, ':method') ?? 'GET'
}
