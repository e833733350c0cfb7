// What a suite is made of: cases, each of which passes or says what is wrong.

const CASE_SECONDS = 60;

/** Gathers the cases of one suite. */
export class Suite {
  cases = [];

  /** Runs one case: it passes unless it throws. */
  async check(name, run, seconds = CASE_SECONDS) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`nothing after ${seconds} s`)), seconds * 1000);
    });
    try {
      await Promise.race([run(), late]);
      this.cases.push({ name, problem: null });
    } catch (error) {
      this.cases.push({ name, problem: error?.stack ?? String(error) });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Takes over a case that somebody else has judged. */
  report(name, problem) {
    this.cases.push({ name, problem: problem || null });
  }
}

/** Waits for an event; never just for time to pass. */
export function deferred() {
  const promise = {};
  promise.done = new Promise((resolve, reject) => Object.assign(promise, { resolve, reject }));
  return promise;
}
