// GraphQL over HTTP: the audits of its authors, all of them, SHOULD and MAY included.

import { serverAudits } from 'graphql-http';

export const EXPECTED = 61;

export async function run({ suite, servers }) {
  const audits = serverAudits({ url: servers.main.graphql });
  if (audits.length !== EXPECTED) suite.report('number of audits', `${audits.length}, not ${EXPECTED}`);
  for (const audit of audits) {
    const { status, reason } = await audit.fn();
    suite.report(`${audit.id} ${audit.name}`, status === 'ok' ? null : `${status}: ${reason}`);
  }
}
