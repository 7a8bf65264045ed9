// The one place of hsm/ that touches the process environment: SoftHSM finds its configuration file
// through the variable SOFTHSM2_CONF and in no other way. Called by hsm/demonstration.ts and tests
// on the main thread, before any module is loaded (a worker's process.env is a copy that C code
// does not see). The tidy test exempts this file.

/** Points SoftHSM, in this process and its children, at a configuration file. */
export function useSoftHsmConfiguration(path: string): void {
  process.env['SOFTHSM2_CONF'] = path
}

/** The configuration file that SoftHSM would read now, or undefined for its built-in default. */
export function softHsmConfiguration(): string | undefined {
  return process.env['SOFTHSM2_CONF']
}
