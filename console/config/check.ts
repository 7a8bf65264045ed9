// What `switchyard config check` and `config show` print. Called by console/commands/config.ts.
// Results go to stdout; both return whether there was no mistake.
import { checkConfig, environment, mistakeLine } from '../../config/load.ts'
import type { SwitchConfig } from '../../config/schema.ts'

/** Prints every mistake of a configuration. @returns true when there is none */
export async function check(path: string | undefined, json: boolean): Promise<boolean> {
  const used = path ?? environment().configPath
  const { config, mistakes, files } = checkConfig(used)
  if (json) {
    print(JSON.stringify({ ok: config !== null, files, mistakes }, null, 2))
  } else if (config === null) {
    for (const mistake of mistakes) print(mistakeLine(mistake))
    const count = mistakes.length === 1 ? '1 mistake' : `${mistakes.length} mistakes`
    process.stderr.write(`switchyard: ${count} in ${files.join(', ')}\n`)
  } else {
    print(`${files.join(', ')}: no mistakes; ${summary(config)}`)
  }
  return config !== null
}

/** Prints the values in force. @returns false when the configuration has mistakes */
export async function show(path: string | undefined, json: boolean): Promise<boolean> {
  const { config, mistakes } = checkConfig(path ?? environment().configPath)
  if (config === null) {
    for (const mistake of mistakes) process.stderr.write(`${mistakeLine(mistake)}\n`)
    return false
  }
  const { home, databaseUrl } = environment()
  const whole = { ...written(config), environment: { home, database_url: maskUrl(databaseUrl) } }
  if (json) {
    print(JSON.stringify(whole, null, 2))
  } else {
    const { stringify } = await import('yaml')
    print(stringify(whole, { lineWidth: 100 }).trimEnd())
  }
  return true
}

function summary(config: SwitchConfig): string {
  const { links, terminals, issuers, routes } = config
  const counts = { links, terminals, issuers, routes }
  return Object.entries(counts)
    .map(([name, list]) => `${list.length} ${name}`)
    .join(', ')
}

/** The configuration as a person would write it: endpoints are host:port again. */
function written(config: SwitchConfig): object {
  const links = config.links.map((link) => {
    const connect = link.role === 'scheme' ? { connect: endpointText(link.connect) } : {}
    return { ...link, listen: endpointText(link.listen), ...connect }
  })
  return { ...config, links }
}

function endpointText(at: { host: string; port: number } | null): string | null {
  if (at === null) return null
  return at.host.includes(':') ? `[${at.host}]:${at.port}` : `${at.host}:${at.port}`
}

/** A database URL without user, password and options: these may be secret. */
function maskUrl(url: string | null): string | null {
  if (url === null) return null
  const parsed = URL.canParse(url) ? new URL(url) : null
  return parsed === null ? '****' : `${parsed.protocol}//****@${parsed.host}${parsed.pathname}`
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
