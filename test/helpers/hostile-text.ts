import fc from 'fast-check'

/** Text with what could be taken for line ends, for fields or for their ends. */
export const hostileText: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.constantFrom('\r', '\n', '\r\n', '\n\n', '\r\r\n', '\ndata: x\n\n', '\rid: 1\r', '\nretry: 1\n'),
      fc.constantFrom(':', ' ', '\t', 'data: ', 'id:', 'event: x', 'retry: 0', 'x'),
      fc.constantFrom('\ufeff', '\0', '\v', '\f', '\u0085', '\u2028', '\u2029', '\ufffd', '😀', 'ü'),
      fc.string({ unit: 'binary', maxLength: 8 })
    ),
    { maxLength: 8 }
  )
  .map((parts) => parts.join(''))
