// Who is logged in. Tokens live in memory only: nothing of them outlives the page, and no two pages can
// hold the same refresh token, whose second use would end the log-in.
import { readJson, send } from './http.js';

/** An access token with less life than this is renewed before use. */
const MARGIN_MS = 30_000;
const TOKENS = '{ accessToken refreshToken expiresIn user { email } userErrors { message } }';
const LOG_IN = `mutation ($input: LogInInput!) { result: logIn(input: $input) ${TOKENS} }`;
const REFRESH = `mutation ($input: RefreshTokenInput!) { result: refreshToken(input: $input) ${TOKENS} }`;
const LOG_OUT = 'mutation ($input: RefreshTokenInput!) { result: logOut(input: $input) { userErrors { message } } }';

/** Why the server would not do what it was asked; a refusal is its last word, other errors may pass. */
export class Refused extends Error {}

/** Emits `change` when somebody logs in or out. */
export class Credentials extends EventTarget {
  #tokens = null;
  #renewal = null;
  #now;

  constructor(now = Date.now) {
    super();
    this.#now = now;
  }

  /** The e-mail address of whoever is logged in, or null. */
  get user() {
    return this.#tokens?.email ?? null;
  }

  async logIn(email, password) {
    this.#keep(await ask(LOG_IN, { email, password }));
  }

  /** Ends the log-in, here at once and then at the server, which takes any token of it, spent ones too. */
  async logOut() {
    const refreshToken = this.#tokens?.refreshToken;
    this.#forget();
    if (refreshToken) await ask(LOG_OUT, { refreshToken });
  }

  /** An access token that is good for a while, or null when nobody is logged in. */
  async token() {
    if (this.#tokens && this.#tokens.expiresAt - this.#now() < MARGIN_MS) await this.renew();
    return this.#tokens?.accessToken ?? null;
  }

  /** Exchanges the refresh token. Everybody who asks meanwhile waits for the same exchange. */
  renew() {
    this.#renewal ??= this.#exchange().finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  async #exchange() {
    const spent = this.#tokens;
    try {
      const fresh = await ask(REFRESH, { refreshToken: spent.refreshToken });
      // Who has logged out meanwhile stays logged out.
      if (this.#tokens === spent) this.#keep(fresh);
    } catch (error) {
      if (error instanceof Refused) this.#forget();
      throw error;
    }
  }

  #keep({ accessToken, refreshToken, expiresIn, user }) {
    this.#tokens = { accessToken, refreshToken, email: user.email, expiresAt: this.#now() + expiresIn * 1000 };
    this.dispatchEvent(new Event('change'));
  }

  #forget() {
    this.#tokens = null;
    this.dispatchEvent(new Event('change'));
  }
}

async function ask(query, input) {
  const { data, errors } = await readJson(await send({ query, variables: { input } }));
  if (errors) throw new Error(errors[0].message);
  const { result } = data;
  if (result.userErrors.length > 0) throw new Refused(result.userErrors[0].message);
  if (result.accessToken === null) throw new Refused('This account needs a second factor, which this page cannot ask for.');
  return result;
}
