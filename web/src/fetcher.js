// What GraphiQL sends its operations with.
import { getOperationAST } from 'graphql';
import { createClient } from 'graphql-ws';
import { ENDPOINT, readJson, send } from './http.js';

/** A fetcher for GraphiQL: HTTP for queries, mutations and uploads, a WebSocket for subscriptions. */
export function createFetcher(credentials, attachedFile) {
  const socket = createClient({
    url: () => new URL(ENDPOINT, location.href).href.replace(/^http/, 'ws'),
    connectionParams: async () => {
      const token = await credentials.token();
      return token ? { authorization: `Bearer ${token}` } : {};
    },
  });
  const fetcher = (operation, { headers, documentAST } = {}) =>
    isSubscription(documentAST, operation.operationName)
      ? { subscribe: (observer) => ({ unsubscribe: socket.subscribe(operation, withReadableErrors(observer)) }) }
      : post(credentials, operation, { headers, file: attachedFile() });
  return { fetcher, dispose: () => socket.dispose() };
}

function isSubscription(document, operationName) {
  return Boolean(document) && getOperationAST(document, operationName)?.operation === 'subscription';
}

/** Sends once more with a new token when the server says that the old one is not good: nothing was executed. */
async function post(credentials, operation, options) {
  let response = await send(operation, { ...options, token: await credentials.token() });
  if (response.status === 401 && credentials.user) {
    await credentials.renew();
    response = await send(operation, { ...options, token: await credentials.token() });
  }
  return readJson(response);
}

function withReadableErrors(observer) {
  return { ...observer, error: (problem) => observer.error(readable(problem)) };
}

function readable(problem) {
  if (typeof CloseEvent !== 'undefined' && problem instanceof CloseEvent) {
    return new Error(`The socket was closed: ${problem.code} ${problem.reason}`.trim());
  }
  return problem;
}
