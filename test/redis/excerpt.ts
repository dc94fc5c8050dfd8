const MAX_LENGTH = 40

/** The beginning of a text, in characters that every terminal and test report can show. */
export function excerpt(text: string): string {
  return JSON.stringify(text.slice(0, MAX_LENGTH)).replace(
    /[^ -~]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16)}`
  )
}
