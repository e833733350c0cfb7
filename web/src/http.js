// GraphQL over HTTP.
export const ENDPOINT = '/graphql';
const ACCEPT = 'application/graphql-response+json, application/json';

/** Sends one operation, with the file (if any) as its `input.audio`; gives the `Response`. */
export function send(operation, { token, file, headers } = {}) {
  const common = { accept: ACCEPT, ...(token && { authorization: `Bearer ${token}` }), ...headers };
  if (file && takesFile(operation)) {
    return fetch(ENDPOINT, {
      method: 'POST',
      headers: { ...common, 'apollo-require-preflight': '1' },
      body: multipart(operation, file),
    });
  }
  return fetch(ENDPOINT, {
    method: 'POST',
    headers: { ...common, 'content-type': 'application/json' },
    body: JSON.stringify(operation),
  });
}

/** The JSON of an answer, whatever its status. */
export async function readJson(response) {
  const type = response.headers.get('content-type') ?? '';
  if (!type.includes('json')) throw new Error(`The server answered ${response.status} without JSON.`);
  return response.json();
}

/** Whether the variables have a place for a file: `input.audio`. */
export function takesFile({ variables }) {
  return Boolean(variables?.input && 'audio' in variables.input);
}

/** A GraphQL multipart request; the parts must come in this order. */
export function multipart(operation, file) {
  const input = { ...operation.variables.input, audio: null };
  const form = new FormData();
  form.append('operations', JSON.stringify({ ...operation, variables: { ...operation.variables, input } }));
  form.append('map', JSON.stringify({ 0: ['variables.input.audio'] }));
  form.append('0', file, file.name);
  return form;
}
