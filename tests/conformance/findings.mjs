// The findings that docs/api.md names, with the reason: the rows of the table under "Conformance".

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { root } from './paths.mjs';

/** Rows `| suite | `finding` | reason |`; `…` within a finding stands for anything. */
export function namedFindings() {
  const page = readFileSync(join(root, 'docs/api.md'), 'utf8');
  const section = page.split(/^## /m).find((part) => part.startsWith('Conformance\n')) ?? '';
  const rows = section.split('\n').map((line) => /^\| ([a-z-]+) \| `([^`]+)` \| .{20,} \|$/.exec(line));
  return rows.filter(Boolean).map(([, suite, finding]) => ({ suite, finding, names: pattern(finding) }));
}

function pattern(finding) {
  const literally = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const words = new RegExp(finding.split('…').map(literally).join('.*'));
  return (name) => words.test(name);
}
