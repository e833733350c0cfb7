// @graphql-inspector: breaking changes against the baseline, and every document of this repository against the schema.

import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { CriticalityLevel, diff, validate } from '@graphql-inspector/core';
import { Source, buildClientSchema, buildSchema, getIntrospectionQuery } from 'graphql';

import { blocks } from '../blocks.mjs';
import { root } from '../paths.mjs';
import { call } from '../practice.mjs';
import { EXAMPLES } from '../../../web/src/examples.js';

export async function run({ suite, servers }) {
  const served = buildClientSchema(await call(servers.main, null, getIntrospectionQuery()));
  const committed = buildSchema(await readFile(join(root, 'schema.graphql'), 'utf8'));
  const baseline = buildSchema(await readFile(join(root, 'tests/data/schema.baseline.graphql'), 'utf8'));

  // What belongs to GraphQL itself the two libraries describe in words of their own.
  const strange = await diff(committed, served);
  suite.report('schema.graphql is what is served', strange.filter(({ path }) => !path?.startsWith('@')).map(({ message }) => message).join('\n'));

  const decided = new Set(
    (await readFile(join(root, 'tests/data/breaking_changes.txt'), 'utf8')).split('\n').map((line) => line.split(' — ')[0].trim()),
  );
  const changes = await diff(baseline, served);
  const breaking = changes.filter(({ criticality, path }) => criticality.level === CriticalityLevel.Breaking && !decided.has(path));
  suite.report('no breaking change but those decided upon', breaking.map(({ path, message }) => `${path}: ${message}`).join('\n'));

  const found = validate(served, await documents(), { strictDeprecated: true, strictFragments: true });
  const problems = found.flatMap(({ source, errors, deprecated }) => [...errors, ...deprecated].map(({ message }) => `${source.name}: ${message}`));
  suite.report('every document of the documentation and of GraphiQL fits the schema', problems.join('\n'));
}

/** What stands as GraphQL in the documentation, and in the page of GraphiQL. */
async function documents() {
  const pages = ['README.md', ...(await readdir(join(root, 'docs'))).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];
  const texts = [];
  for (const page of pages) {
    for (const { language, line, text } of blocks(await readFile(join(root, page), 'utf8'))) {
      if (language === 'graphql') texts.push(new Source(text, `${page}:${line}`));
    }
  }
  if (texts.length === 0) throw new Error('the documentation holds no GraphQL');
  if (EXAMPLES.length === 0) throw new Error('GraphiQL opens with no example');
  return [...texts, ...EXAMPLES.map(({ query }, tab) => new Source(query, `web/src/examples.js, tab ${tab + 1}`))];
}
