// How every command of `switchyard` explains itself and fails: help with the example first, and
// one line on stderr that says what to do next. Used by console/main.ts and console/commands/*.
// Texts given to it must be free of card data and keys: they go to a terminal as they are.
import { Option, type Command } from 'commander'

/** What a command ends with: done, refused or failed, wrong usage. */
export const EXIT = { done: 0, failed: 1, usage: 2 } as const

/**
 * Puts examples above a command's usage, because they are what a reader looks for first.
 *
 * @param command the command to explain
 * @param lines whole command lines as one would type them; a line that starts with # is a remark
 * @returns the same command, for chaining
 */
export function withExamples(command: Command, lines: readonly string[]): Command {
  const title = lines.length === 1 ? 'Example:' : 'Examples:'
  const shown = lines.map((line) => `  ${line}`).join('\n')
  return command.addHelpText('before', `${title}\n${shown}\n`)
}

/** The `--json` that every command has whose usual output is made for people. */
export function jsonOption(): Option {
  return new Option('--json', 'print JSON instead of the form for people')
}

/**
 * A command could not do what was asked; ends the process with exit code 1 and one line on stderr.
 * The message says what is wrong, `next` what to do about it.
 */
export class CommandFailed extends Error {
  readonly next: string

  constructor(message: string, next = '') {
    super(message)
    this.name = 'CommandFailed'
    this.next = next
  }
}

/** The command line itself makes no sense; exit code 2. `next` defaults to where help is. */
export class WrongUsage extends Error {
  readonly next: string

  constructor(message: string, next = '') {
    super(message)
    this.name = 'WrongUsage'
    this.next = next
  }
}

/**
 * One line for stderr out of a message and what to do next.
 *
 * @param message line breaks become spaces
 * @param next an action, or '' when the message says it all
 */
export function errorLine(message: string, next: string): string {
  const text = next === '' ? message : `${message}; ${next}`
  return `switchyard: ${text.replace(/\s*\n\s*/g, ' ').trim()}\n`
}
