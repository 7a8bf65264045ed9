// The real parts of a start, loaded when needed so that a refused start is quick.
// Used by console/commands/start.ts; tests give fakes to the supervisor instead.
import type { Parts } from './supervisor.ts'

export const ownParts: Parts = {
  async startDatabase(options) {
    const { startDatabase } = await import('../database/embedded.ts')
    return startDatabase(options)
  },
  async guard(url, processesFile) {
    const { guardDatabase } = await import('./guard.ts')
    return guardDatabase(url, processesFile)
  },
  async migrate(url) {
    const { migrate } = await import('../../switch/journal/migrate.ts')
    return migrate(url)
  },
  async prepare(config, home, url) {
    const { prepareDemonstration } = await import('./prepare.ts')
    await prepareDemonstration(config, home, url)
  },
  async demonstrate(config, home, stop, log) {
    const { demonstrate } = await import('./demonstrate.ts')
    return demonstrate(config, home, stop, log)
  },
}
