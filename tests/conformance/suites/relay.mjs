// relay-compiler: a refetchable fragment with @connection for every connection of the schema, and an operation for every
// other root field.

import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import {
  GraphQLScalarType, GraphQLEnumType, buildClientSchema, getIntrospectionQuery, getNamedType, isInterfaceType,
  isNonNullType, isObjectType, isRequiredArgument, printSchema,
} from 'graphql';

import { scratch } from '../paths.mjs';
import { call } from '../practice.mjs';

const folder = join(scratch, 'relay');
const LEAST_CONNECTIONS = 7;

export async function run({ suite, servers }) {
  const schema = buildClientSchema(await call(servers.main, null, getIntrospectionQuery()));
  const connections = connectionsOf(schema);
  if (connections.length < LEAST_CONNECTIONS) suite.report('connections of the schema', `only ${connections.length}`);

  await rm(folder, { recursive: true, force: true });
  await mkdir(join(folder, 'src'), { recursive: true });
  await writeFile(join(folder, 'schema.graphql'), printSchema(schema));
  const modules = [
    ...connections.map((connection) => ({ name: `${connection.parent.name}.${connection.field.name}`, write: fragment, of: connection })),
    ...operationsOf(schema),
  ];
  // One project after the other costs a second each; all at once they share the compiler's message, which names the file.
  for (const [index, { write, of }] of modules.entries()) {
    const text = `import { graphql } from 'react-relay';\n\n${write(`m${index}`, of)}\n`;
    await writeFile(join(folder, 'src', `m${index}.js`), text);
  }
  const { code, output } = await compile();
  for (const [index, { name }] of modules.entries()) {
    const blamed = output.split('\n\n').filter((part) => part.includes(`m${index}.js`)).join('\n');
    suite.report(name, blamed || null);
  }
  suite.report('the compiler', code === 0 ? null : output);
}

/** Every field that answers with a connection. */
function connectionsOf(schema) {
  const parents = Object.values(schema.getTypeMap()).filter((type) => isObjectType(type) && !type.name.startsWith('__'));
  return parents.flatMap((parent) =>
    Object.values(parent.getFields())
      .filter(({ type }) => getNamedType(type).name.endsWith('Connection'))
      .map((field) => ({ schema, parent, field })),
  );
}

function fragment(module, { schema, parent, field }) {
  const isRoot = parent === schema.getQueryType();
  const isNode = parent.getInterfaces().some(({ name }) => name === 'Node');
  const name = `${module}_${field.name}`;
  const refetchable = isRoot || isNode ? `@refetchable(queryName: "${name}_Query")` : '';
  const required = field.args.filter((arg) => isRequiredArgument(arg)).map((arg) => ({ name: arg.name, type: String(arg.type) }));
  const defined = required.map((arg) => `${arg.name}: {type: "${arg.type}"}`).join(' ');
  const given = required.map((arg) => `, ${arg.name}: $${arg.name}`).join('');
  const node = getNamedType(getNamedType(field.type).getFields().nodes.type);
  return `graphql\`
  fragment ${name} on ${parent.name} ${refetchable}
  @argumentDefinitions(count: {type: "Int", defaultValue: 10} cursor: {type: "String"} ${defined}) {
    ${field.name}(first: $count, after: $cursor${given}) @connection(key: "${name}_${field.name}") {
      totalCount
      edges { node { ${scalars(node).join(' ')} } }
    }
  }
\`;`;
}

/** Fields that need nothing and end there. */
function scalars(type) {
  const fields = isObjectType(type) || isInterfaceType(type) ? Object.values(type.getFields()) : [];
  const plain = fields.filter(({ type, args }) => {
    const named = getNamedType(type);
    return (named instanceof GraphQLScalarType || named instanceof GraphQLEnumType) && !args.some((arg) => isRequiredArgument(arg));
  });
  return ['__typename', ...plain.map(({ name }) => name)];
}

/** An operation for every root field, with all its arguments as variables; of payloads the changed thing, too. */
function operationsOf(schema) {
  const roots = [['query', schema.getQueryType()], ['mutation', schema.getMutationType()], ['subscription', schema.getSubscriptionType()]];
  return roots.flatMap(([kind, root]) =>
    Object.values(root.getFields()).map((field) => ({ name: `${root.name}.${field.name}`, write: operation, of: { kind, field } })),
  );
}

function operation(module, { kind, field: { name, args, type } }) {
  const variables = args.map((arg) => `$${arg.name}: ${arg.type}`).join(' ');
  const given = args.map((arg) => `${arg.name}: $${arg.name}`).join(' ');
  // The compiler insists on this form.
  const operationName = `${module}_${name}${kind[0].toUpperCase()}${kind.slice(1)}`;
  const list = (text, open, close) => (text ? `${open}${text}${close}` : '');
  return `graphql\`
  ${kind} ${operationName} ${list(variables, '(', ')')} {
    ${name}${list(given, '(', ')')} ${selection(getNamedType(type), 2)}
  }
\`;`;
}

function selection(type, depth) {
  if (!isObjectType(type) && !isInterfaceType(type)) return '';
  const deeper = depth === 0 ? [] : Object.values(type.getFields())
    .filter(({ type, args }) => isObjectType(getNamedType(type)) && !args.some((arg) => isNonNullType(arg.type)) && !getNamedType(type).name.endsWith('Connection'))
    .map(({ name, type }) => `${name} ${selection(getNamedType(type), depth - 1)}`);
  return `{ ${[...scalars(type), ...deeper].join(' ')} }`;
}

async function compile() {
  const config = { src: './src', schema: './schema.graphql', language: 'javascript', eagerEsModules: true };
  await writeFile(join(folder, 'relay.config.json'), JSON.stringify(config));
  const cli = createRequire(import.meta.url).resolve('relay-compiler/cli.js');
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, 'relay.config.json'], { cwd: folder, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? 1) : 0, output: `${stdout}${stderr}` });
    });
  });
}
