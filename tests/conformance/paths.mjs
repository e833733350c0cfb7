import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** This folder. */
export const here = dirname(fileURLToPath(import.meta.url));
/** The project's. */
export const root = join(here, '../..');
/** What is set up or written by the way, and never committed. */
export const scratch = join(root, '.cache/conformance');
