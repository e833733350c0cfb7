// Bundles src/ into dist/: index.html, and assets/ with hashed names that can be cached for ever.
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const PUBLIC_PATH = '/graphiql';
const root = path.dirname(fileURLToPath(import.meta.url));
const dist = path.join(root, 'dist');

await rm(dist, { recursive: true, force: true });
const { metafile } = await esbuild.build({
  absWorkingDir: root,
  entryPoints: ['src/main.jsx', 'src/icon.svg'],
  outdir: 'dist/assets',
  entryNames: '[name]-[hash]',
  bundle: true,
  format: 'esm',
  target: ['chrome110', 'firefox110', 'safari16.4'],
  minify: true,
  legalComments: 'none', // see licences()
  jsx: 'automatic',
  loader: { '.svg': 'copy' },
  define: { 'process.env.NODE_ENV': '"production"' },
  // The original writes a <style> element, which the Content-Security-Policy forbids.
  alias: { 'react-style-singleton': './src/style-singleton.js' },
  metafile: true,
  logLevel: 'warning',
});
await mkdir(dist, { recursive: true });
await writeFile(path.join(dist, 'index.html'), await page(Object.keys(metafile.outputs)));
await writeFile(path.join(dist, 'licences.txt'), await licences(Object.keys(metafile.inputs)));

/** index.html with %name.ext% replaced by the address of the built file. */
async function page(outputs) {
  const template = await readFile(path.join(root, 'index.html'), 'utf8');
  return template.replace(/%(\w+)(\.\w+)%/g, (_, name, extension) => {
    const built = outputs.map((file) => path.basename(file))
      .find((file) => file.startsWith(`${name}-`) && file.endsWith(extension));
    if (!built) throw new Error(`index.html asks for ${name}${extension}, which was not built`);
    return `${PUBLIC_PATH}/assets/${built}`;
  });
}

/** The licence texts of the packages in the bundle, as their licences ask. */
async function licences(inputs) {
  const packages = inputs.flatMap((file) => file.match(/^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/) ?? []);
  const texts = [...new Set(packages)].sort().map(async (directory) => {
    const { name, version, license } = JSON.parse(await readFile(path.join(root, directory, 'package.json'), 'utf8'));
    const file = (await readdir(path.join(root, directory))).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file ? await readFile(path.join(root, directory, file), 'utf8') : `License: ${license}\n`;
    return `${name} ${version}\n\n${text.trim()}\n`;
  });
  return (await Promise.all(texts)).join(`\n${'-'.repeat(80)}\n\n`);
}
