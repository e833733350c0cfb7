// @graphql-eslint: all its rules for schemas and those for Relay, on the schema as it is served.

import graphqlPlugin from '@graphql-eslint/eslint-plugin';
import { ESLint } from 'eslint';
import { buildClientSchema, getIntrospectionQuery, printSchema } from 'graphql';

import { call } from '../practice.mjs';

const CONFIGS = ['flat/schema-recommended', 'flat/schema-all', 'flat/schema-relay'];

export async function run({ suite, servers }) {
  const sdl = printSchema(buildClientSchema(await call(servers.main, null, getIntrospectionQuery())));
  const rules = Object.assign({}, ...CONFIGS.map((name) => graphqlPlugin.configs[name].rules));
  const eslint = new ESLint({
    overrideConfigFile: true,
    overrideConfig: [{
      files: ['**/*.graphql'],
      plugins: { '@graphql-eslint': graphqlPlugin },
      languageOptions: { parser: graphqlPlugin.parser, parserOptions: { graphQLConfig: { schema: sdl } } },
      rules,
    }],
  });
  const [{ messages, fatalErrorCount }] = await eslint.lintText(sdl, { filePath: 'schema.graphql' });
  if (fatalErrorCount > 0) throw new Error(JSON.stringify(messages[0]));
  // A rule that finds nothing is a case that passes; everything that is found is a case of its own.
  for (const rule of Object.keys(rules)) {
    const name = rule.replace('@graphql-eslint/', '');
    const found = messages.filter(({ ruleId }) => ruleId === rule);
    if (found.length === 0) suite.report(name, null);
    for (const { line, message } of found) suite.report(`${name}: ${message}`, `line ${line} of the schema without comments`);
  }
}
